import csv
import dataclasses
import json
import os

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

from agad_tf.config.choices import PROTOCOLS
from agad_tf.config.errors import RunError, UsageError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.data import scoring_batches
from agad_tf.data.images_in_files import decode_files
from agad_tf.data.splits import OneClassTask, Split
from agad_tf.evaluation.localization import at_size, smoothed_error_maps
from agad_tf.evaluation.results import decision_of, read_results
from agad_tf.files.workdir import Workdir
from agad_tf.prediction import overlays, scoring
from agad_tf.prediction.file_versions import version_of
from agad_tf.prediction.overlays import OPACITY, Overlays
from agad_tf.prediction.predict import predict
from agad_tf.reporting import report
from agad_tf.training.restore import restore
from agad_tf.training.run import train

RNG = np.random.default_rng(0)


def write(path, height=16, width=16, low=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(low, 256, (height, width, 3), np.uint8)).save(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on a folder of random images, with masks."""
    root = tmp_path_factory.mktemp("own")
    for name, count in (("train/good", 24), ("test/good", 6), ("test/bad", 6)):
        for number in range(count):
            write(root / "set" / name / f"{number}.png", 20, 24)
    for number in range(5):
        mask = np.zeros((20, 24), np.uint8)
        mask[5:9, 6:12] = 255
        path = root / "set" / "ground_truth" / "bad" / f"{number}_mask.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
    config = ExperimentConfig(
        dataset="folder",
        data_dir=str(root / "set"),
        image_size=16,
        width=1 / 8,
        batch_size=8,
        epochs=1,
        protocols=PROTOCOLS,
        workdir=str(root / "run"),
    )
    train(config)
    return config


@pytest.fixture
def shots(tmp_path):
    """Twelve images of several sizes below one folder, and a file that is none."""
    for number in range(12):
        write(tmp_path / "shots" / f"line {number % 2}" / f"{number:02d}.png", 10 + number, 30)
    (tmp_path / "shots" / "line 0" / "broken.jpg").write_bytes(b"rubbish")
    return tmp_path / "shots"


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_picture_gets_its_own_score_and_unreadable_ones_are_named(run, shots, tmp_path):
    predict(run, str(shots), str(tmp_path / "out"))
    rows = table(tmp_path / "out" / "scores.csv")
    assert [row["path"] for row in rows] == [str(path) for path in sorted(shots.rglob("*.png"))]
    assert [row["path"] for row in table(tmp_path / "out" / "unreadable.csv")] == [str(shots / "line 0" / "broken.jpg")]
    model = restore(run)
    decision = decision_of(read_results(Workdir(run.folder).results))
    for row in rows:
        inputs = decode_files(np.array([row["path"]]), 3, 16).inputs
        score = float(model.anomaly_score(inputs)[0])
        assert float(row["score"]) == pytest.approx(score, rel=1e-5)
        assert float(row["probability"]) == pytest.approx(decision.probability(score), abs=1e-4)
        assert row["is_anomaly"] == str(int(float(row["score"]) >= decision.threshold))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["scored"], summary["unreadable"]) == (12, 1)
    assert summary["anomalies"] == sum(int(row["is_anomaly"]) for row in rows)


def test_what_is_done_is_not_done_again_after_a_kill(run, shots, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    predict(run, str(shots), str(out))
    whole = (out / "scores.csv").read_text()
    lines = whole.splitlines(keepends=True)
    (out / "scores.csv").write_text("".join(lines[:6]) + lines[6][:9])
    decoded = []

    def counting(files, *rest):
        decoded.extend(files)
        return decode_files(files, *rest)

    monkeypatch.setattr(scoring, "decode_files", counting)
    capsys.readouterr()
    predict(run, str(shots), str(out))
    assert (out / "scores.csv").read_text() == whole
    assert len(decoded) == 12 - 5
    assert "6 of 13 images have been scored before" in capsys.readouterr().out
    predict(run, str(shots), str(out))
    assert (out / "scores.csv").read_text() == whole


def test_maps_lie_over_their_pictures_in_colours_that_mean_the_same_for_all(run, shots, tmp_path):
    out = tmp_path / "out"
    predict(run, str(shots), str(out), save_maps=True)
    scale = read_results(Workdir(run.folder).results)["error_map_scale"]
    model = restore(run)
    paths = sorted(shots.rglob("*.png"))
    assert len(list((out / "maps").rglob("*.png"))) == len(paths)
    assert (out / "colour_scale.png").exists()
    for path in paths[:3]:
        overlay = np.asarray(Image.open(out / "maps" / path.relative_to(shots).with_name(path.name + ".png")))
        picture = np.asarray(Image.open(path))
        inputs = decode_files(np.array([str(path)]), 3, 16).inputs
        (error_map,) = smoothed_error_maps(inputs, model(inputs)).numpy()
        shares = np.clip(at_size(error_map, *picture.shape[:2]) / scale, 0, 1)[..., np.newaxis]
        colours = mpl.colormaps["inferno"](shares[..., 0])[..., :3] * 255
        expected = (1 - OPACITY * shares) * picture + OPACITY * shares * colours
        assert np.abs(overlay - expected).max() <= 1.5


def test_large_images_are_scored_one_at_a_time(run, shots, tmp_path, monkeypatch):
    paths = [str(path) for path in sorted(shots.rglob("*.png"))]
    model = restore(run)
    at_once = list(scoring.scored_batches(model, paths, 8, with_error_maps=True))
    monkeypatch.setattr(scoring_batches, "SCORING_PIXELS", 16 * 16)
    one_by_one = list(scoring.scored_batches(model, paths, 8, with_error_maps=True))
    assert [len(batch.files) for batch in one_by_one] == [1] * len(paths)
    for name in ("files", "scores", "error_maps"):
        found, expected = (np.concatenate([getattr(b, name) for b in each]) for each in (one_by_one, at_once))
        assert (found == expected).all() if name == "files" else np.allclose(found, expected, rtol=1e-4)


def test_overlays_of_large_images_are_made_in_bands_and_one_at_a_time(tmp_path, monkeypatch):
    write(tmp_path / "image.png", 40, 30)
    error_map = RNG.uniform(0, 9, (16, 16)).astype(np.float32)
    workers = []

    class Pool(overlays.ThreadPoolExecutor):
        def __init__(self, count):
            workers.append(count)
            super().__init__(count)

    monkeypatch.setattr(overlays, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(overlays.os, "cpu_count", lambda: 64)
    found = []
    for name, pixels in (("whole", 2**24), ("bands", 7 * 30)):
        monkeypatch.setattr(overlays, "PIXELS_OF_BAND", pixels)
        monkeypatch.setattr(overlays, "PIXELS_AT_A_TIME", 10 * pixels)
        maps = Overlays(tmp_path / name / "maps", tmp_path, scale=8)
        path = str(tmp_path / "image.png")
        maps.write(np.array([path], object), [version_of(path)], error_map[np.newaxis], 3)
        found.append(np.asarray(Image.open(maps.place(path))))
    np.testing.assert_array_equal(*found)
    assert np.ptp(found[0].astype(int)) > 100
    assert workers == [64, 1]


def test_prediction_saved_model_and_report_show_the_same_map(run, tmp_path, monkeypatch):
    write(tmp_path / "shot.png")
    image = np.asarray(Image.open(tmp_path / "shot.png"))[np.newaxis]
    predicted, drawn = [], []

    def overlay(self, files, versions, errors, channels):
        predicted.extend(errors)

    def in_colors(error, largest_error):
        drawn.append(error)
        return np.zeros((*error.shape, 3), np.uint8)

    monkeypatch.setattr(Overlays, "write", overlay)
    monkeypatch.setattr(report, "in_colors", in_colors)
    predict(run, str(tmp_path / "shot.png"), str(tmp_path / "out"), save_maps=True)
    detector = tf.saved_model.load(str(Workdir(run.folder).saved_model))
    served = detector.serve(image)["error_map"].numpy()
    split = Split(image, np.array([0]), np.array([0]))
    test = pd.DataFrame([{"id": 0, "kind": "good", "score": 1.0, "flagged": False}])
    task = OneClassTask(split, split, split)
    report._examples(test, task, report._looks(task, restore(run), test.index), 1.0)
    assert served.max() > 1
    np.testing.assert_allclose(predicted, served, atol=1e-3)
    np.testing.assert_allclose(np.array(drawn) * 255, served, atol=1e-3)


def test_scores_of_two_detectors_are_not_mixed(run, shots, tmp_path):
    predict(run, str(shots), str(tmp_path / "out"))
    detector = json.loads((tmp_path / "out" / "detector.json").read_text())
    (tmp_path / "out" / "detector.json").write_text(json.dumps({**detector, "threshold": 0.5}))
    with pytest.raises(UsageError, match="another detector"):
        predict(run, str(shots), str(tmp_path / "out"))


def test_a_name_that_is_not_utf_8_is_scored_and_written(run, tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    Image.fromarray(RNG.integers(0, 256, (9, 9), np.uint8)).save(tmp_path / "plain.png")
    os.rename(tmp_path / "plain.png", name)  # noqa: PTH104
    predict(run, name, str(tmp_path / "out"))
    assert os.fsencode(name) in (tmp_path / "out" / "scores.csv").read_bytes()


def test_an_unfinished_run_does_not_predict(run, shots, tmp_path):
    with pytest.raises(RunError, match="finish the run"):
        predict(dataclasses.replace(run, workdir=str(tmp_path / "none")), str(shots))


def test_masks_give_figures_of_localisation_and_names_go_into_the_scores(run):
    workdir = Workdir(run.folder)
    per_image = json.loads(workdir.results.read_text())["protocols"]["per_image"]
    assert 0 < per_image["pixel_auroc"] < 1
    assert 0 < per_image["pro"] < 1
    assert f"{100 * per_image['pro']:.1f}" in workdir.report.read_text(encoding="utf-8").partition("(PRO)")[2][:200]
    assert "pixel_auroc" not in json.loads(workdir.results.read_text())["protocols"]["family"]
    assert {row["image_id"].split("/")[0] for row in table(workdir.scores)} == {"test"}
