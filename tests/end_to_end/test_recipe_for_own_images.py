"""`--recipe=own_images`: from a folder of images that are not square to a detector that finds small flaws."""

import csv
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

SMALL = ("--crop_size=16", "--scales=1,2", "--width=0.0625", "--steps_per_epoch=3", "--epochs=2", "--batch_size=4")


def train(folder, *flags):
    return subprocess.run(
        [
            *(sys.executable, "-m", "agad_tf.main", "--dataset=folder", f"--data_dir={folder / 'images'}"),
            *("--recipe=own_images", *SMALL, *flags),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    random = np.random.default_rng(0)
    for part, count in (("train/good", 24), ("test/good", 4), ("test/scratch", 4)):
        (folder / "images" / part).mkdir(parents=True)
        for number in range(count):
            pixels = random.normal(128, 4, (36, 50)).clip(0, 255).astype(np.uint8)
            if part == "test/scratch":
                pixels[10:14, 20:24] = 255
            Image.fromarray(pixels).save(folder / "images" / part / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def run(folder):
    done = train(folder, f"--workdir={folder / 'run'}")
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "run"


def scores_of(run):
    with (run / "scores.csv").open() as file:
        return {row["image_id"]: float(row["anomaly_score"]) for row in csv.DictReader(file)}


def test_the_run_says_what_it_was_made_with_and_leaves_the_leaking_protocols_out(run):
    results = json.loads((run / "results.json").read_text())
    assert results["score"] == "peak"
    assert results["segmentation"]
    assert list(results["protocols"]) == ["per_image"]
    # Images keep their shape, and are not enlarged.
    assert (results["image_height"], results["image_width"]) == (32, 48)
    assert results["protocols"]["per_image"]["auroc"] is not None
    assert not (run / "family_scores.npz").exists()


def test_the_exported_detector_scores_as_the_run_did_and_its_map_has_the_shape_of_the_images(run, folder):
    detector = tf.saved_model.load(str(run / "saved_model"))
    expected = scores_of(run)
    paths = sorted((folder / "images" / "test" / "scratch").iterdir())
    images = np.stack([np.asarray(Image.open(path)) for path in paths])[..., np.newaxis]
    found = detector.serve(images)
    names = [next(name for name in expected if name.endswith(f"scratch/{path.name}")) for path in paths]
    np.testing.assert_allclose(found["score"], [expected[name] for name in names], rtol=1e-3)
    assert found["error_map"].shape == (4, 32, 48)
    # The map is highest where the flaw is.
    peaks = [np.unravel_index(np.argmax(each), each.shape) for each in found["error_map"].numpy()]
    rows, columns = zip(*peaks, strict=True)
    assert 6 <= np.median(rows) <= 16
    assert 14 <= np.median(columns) <= 28


def test_predict_writes_scores_and_maps(run, folder):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "agad_tf.main", "--mode=predict", f"--workdir={run}", "--save_maps"),
            *(f"--input={folder / 'images' / 'test' / 'scratch'}", f"--output={folder / 'said'}"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with (folder / "said" / "scores.csv").open() as file:
        said = [float(row["score"]) for row in csv.DictReader(file)]
    expected = [score for name, score in sorted(scores_of(run).items()) if "scratch" in name]
    np.testing.assert_allclose(sorted(said), sorted(expected), rtol=1e-3)
    assert len(list((folder / "said" / "maps").glob("*.png"))) == 4


def test_the_same_seed_repeats_the_scores_to_the_bit(run, folder):
    assert train(folder, f"--workdir={folder / 'again'}").returncode == 0
    assert (folder / "again" / "scores.csv").read_bytes() == (run / "scores.csv").read_bytes()


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--segmentation --local_anomalies=0", "--segmentation learns from local anomalies"),
        ("--score=euclidean", "go with --score=peak"),
        ("--contextual_adversarial", "needs them intact"),
        ("--crop_size=20", "multiple of 16"),
        ("--scales=1,x", "not a whole number"),
        ("--scales=2,2", "different whole numbers"),
        ("--image_size=100", "multiples of 16"),
        ("--image_size=32x48 --crop_size=0 --scales=1", "must be square"),
        ("--protocols=family", "give per_image"),
    ],
)
def test_options_that_contradict_the_recipe_are_refused_in_one_sentence(folder, flag, sentence):
    done = train(folder, *flag.split())
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_images_narrower_than_a_part_and_a_few_labelled_anomalies_train(folder, tmp_path):
    shutil.copytree(folder / "images", tmp_path / "images")
    options = ("--crop_size=64", "--gamma=0.1", "--epochs=1", f"--workdir={tmp_path / 'run'}")
    done = train(tmp_path, *options)
    assert done.returncode == 2
    assert "--gamma" in done.stderr
    (tmp_path / "images" / "train" / "scratch").mkdir()
    for number in range(3):
        pixels = np.full((36, 50), 200, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / "train" / "scratch" / f"l{number}.png")
    # The masks of two of them; one at least of those two is trained on.
    (tmp_path / "images" / "ground_truth" / "scratch").mkdir(parents=True)
    for number in range(2):
        mask = np.zeros((36, 50), np.uint8)
        mask[10:14, 20:24] = 255
        Image.fromarray(mask).save(tmp_path / "images" / "ground_truth" / "scratch" / f"l{number}_mask.png")
    done = train(tmp_path, *options)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"[12] of 2 labelled anomalies for training have a mask\.", done.stdout)
