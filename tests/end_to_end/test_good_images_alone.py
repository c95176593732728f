"""Runs the command on good images alone, as a user has them, with flags/folder.cfg but for what takes time."""

import csv
import json
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.end_to_end.test_readme import LEFT, agad

PAPER = ["--flagfile=flags/folder.cfg", "--recipe=paper", "--image_size=32", "--width=0.125", "--epochs=2"]
RNG = np.random.default_rng(0)


def write_images(folder, count):
    """Dark squares on noise."""
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = RNG.integers(100, 130, (40, 48, 3), np.uint8)
        pixels[10:30, 10:30] = 20
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")


def results_of(workdir):
    return json.loads((workdir / "results.json").read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Ten images directly in a folder, and what the command has made of them."""
    place = tmp_path_factory.mktemp("good")
    write_images(place / "photos", 10)
    done = agad(
        *PAPER,
        "--batch_size=32",
        "--synthetic_anomalies=warp,erasure",
        f"--data_dir={place / 'photos'}",
        f"--workdir={place / 'run'}",
    )
    assert done.returncode == 0, done.stderr
    return place, done


def test_ten_good_images_make_a_detector(run):
    place, _ = run
    assert {path.name for path in (place / "run").iterdir()} == LEFT | {"left_out.csv", "pixel_range.json"}
    results = results_of(place / "run")
    assert set(results["protocols"]) == {"per_image"}
    assert results["protocols"]["per_image"]["auroc"] is None
    assert 0 <= results["protocols"]["per_image"]["synthetic_auroc"] <= 1
    assert results["detector"]["threshold_normals"] == 1
    assert results["batch_size"] == 7
    with (place / "run" / "scores.csv").open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["0", "0"]
    with (place / "run" / "validation_scores.csv").open(newline="") as file:
        (held_out,) = csv.DictReader(file)
    assert (place / "photos" / held_out["image_id"]).exists()
    assert float(held_out["anomaly_score"]) == pytest.approx(results["detector"]["threshold"])
    detector = tf.saved_model.load(str(place / "run" / "saved_model"))
    images = np.stack([np.asarray(Image.open(path)) for path in sorted((place / "photos").iterdir())])
    assert np.isfinite(detector.serve(images)["score"]).all()


def test_the_command_says_how_it_has_read_and_divided_them(run):
    _, done = run
    assert re.search(r"photos has no class folders: all 10 images count as normal", done.stderr)
    assert "7 for training, 1 to choose the threshold, and 2 held out for the report" in done.stdout
    assert "The batch size is 7, not --batch_size=32" in done.stdout
    assert "No anomalies in the test set: AUROC cannot be measured." in done.stdout
    assert "synthetic_auroc" in done.stdout
    assert "rests on 1 normal validation image; with so few, between 2.5 % and 97.5 %" in done.stdout


def test_the_other_modes_work_on_such_a_run(run, tmp_path):
    place, _ = run
    workdir = f"--workdir={place / 'run'}"
    before = results_of(place / "run")
    assert before.pop("seconds_by_part")
    for command in (
        ["--mode=evaluate", workdir],
        ["--mode=predict", workdir, f"--input={place / 'photos'}", f"--output={tmp_path / 'scores'}", "--save_maps"],
        ["--mode=export", workdir],
    ):
        done = agad(*command)
        assert done.returncode == 0, (command, done.stderr)
    after = results_of(place / "run")
    # Of the command that wrote them.
    assert after.pop("seconds_by_part")
    assert after == before
    assert len((tmp_path / "scores" / "scores.csv").read_text().splitlines()) == 11


def test_an_audit_says_in_one_sentence_that_it_needs_both_kinds(run, tmp_path):
    place, _ = run
    options = ["--dataset=folder", f"--data_dir={place / 'photos'}", f"--workdir={tmp_path / 'audit'}"]
    done = agad("--mode=audit", f"--model={place / 'run'}", *options)
    assert done.returncode == 2
    assert "needs at least two normal and two abnormal test images, but there are 2 and 0" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_benchmark_of_good_images_alone_has_its_tables(tmp_path):
    write_images(tmp_path / "photos" / "train" / "good", 12)
    workdir = f"--workdir={tmp_path / 'compare'}"
    done = agad("--mode=benchmark", *PAPER, "--sweep=method=knn,pca", f"--data_dir={tmp_path / 'photos'}", workdir)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 runs are finished" in done.stdout
    assert (tmp_path / "compare" / "benchmark.html").exists()


def test_an_only_class_of_another_name_is_refused_with_the_flag_that_works(tmp_path):
    write_images(tmp_path / "photos" / "my parts", 10)
    command = [*PAPER, f"--data_dir={tmp_path / 'photos'}", f"--workdir={tmp_path / 'run'}", "--method=knn"]
    done = agad(*command)
    assert done.returncode == 2
    (flag,) = re.findall(r"add --normal_class='(.+)' to the command", done.stderr)
    assert agad(*command, f"--normal_class={flag}").returncode == 0


def test_the_ceiling_needs_labels_and_leaves_no_run_behind(tmp_path):
    write_images(tmp_path / "photos", 10)
    done = agad(*PAPER, f"--data_dir={tmp_path / 'photos'}", f"--workdir={tmp_path / 'run'}", "--method=supervised")
    assert done.returncode == 2
    assert "learns from normal and abnormal images" in done.stderr
    assert not (tmp_path / "run").exists()
