"""Runs README's commands for users' own images in their order, on small images and with small networks."""

import csv
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from agad_tf.config.errors import UsageError
from agad_tf.serving.onnx_litert import require_packages
from tests.end_to_end.test_readme import ROOT, agad

SECTIONS = ("Your own images", "Read the report", "Predict", "Serve")
SMALLER = [
    *("--image_size=32", "--crop_size=16", "--scales=1", "--width=0.125"),
    *("--epochs=2", "--steps_per_epoch=2", "--batch_size=16"),
]
RNG = np.random.default_rng(0)
ON_A_SLOW_DISK = """
import time
from agad_tf import main
from agad_tf.data.images_in_files import Pictures
read = Pictures.network_inputs
def read_slowly(self, rows):
    until = time.monotonic() + 1 + rows[0] % 3
    while time.monotonic() < until:
        time.sleep(0.001)
    return read(self, rows)
Pictures.network_inputs = read_slowly
main.run()
"""


def commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for section in SECTIONS:
        text = re.search(rf"^## {section}\n(.*?)^## ", readme, re.MULTILINE | re.DOTALL)[1]
        for line in re.findall(r"^python -m agad_tf\.main (.*)$", text, re.MULTILINE):
            yield line.partition("#")[0].split()


def exports_to_litert():
    """Whether the installed Keras can, as the lowest that this package admits cannot."""
    try:
        require_packages("litert")
    except UsageError:
        return False
    return True


def write_pictures(folder, count, bright=False):
    """Dark squares on noise, or bright squares."""
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = RNG.integers(100, 130, (40, 48, 3), np.uint8)
        pixels[10:30, 10:30] = 250 if bright else 20
        Image.fromarray(pixels).save(folder / f"{number:03d}.jpg")


def readers_folder(tmp_path_factory):
    """A new folder with a reader's images, and with the flagfiles."""
    place = tmp_path_factory.mktemp("reader")
    (place / "flags").symlink_to(ROOT / "flags")
    write_pictures(place / "photos" / "normal", 60)
    write_pictures(place / "photos" / "abnormal", 10, bright=True)
    return place


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder as README's reader has it, after all of its commands."""
    place = readers_folder(tmp_path_factory)
    write_pictures(place / "new_photos", 6)
    write_pictures(place / "new_photos" / "odd", 3, bright=True)
    (place / "new_photos" / "broken.jpg").write_bytes(b"rubbish")
    parts = {}
    for split, count in (("train", 80), ("val", 20), ("test", 20)):
        parts[f"{split}_images"] = RNG.integers(0, 256, (count, 28, 28), np.uint8)
        parts[f"{split}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, np.newaxis]
    np.savez(place / "pneumoniamnist.npz", **parts)
    for command in commands():
        if "--export_format=litert" in command and not exports_to_litert():
            continue
        smaller = SMALLER if command[0].startswith("--flagfile") else []
        run = [sys.executable, "-m", "agad_tf.main", *command, *smaller]
        done = subprocess.run(run, cwd=place, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)
    return place


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def results(place, run):
    return json.loads((place / "runs" / run / "results.json").read_text())


def test_every_section_has_commands():
    flags = " ".join(flag for command in commands() for flag in command)
    for flag in ("folder.cfg", "npz.cfg", "--threshold=fpr", "--mode=predict", "--save_maps", "onnx", "litert"):
        assert flag in flags


def test_a_folder_of_pictures_becomes_a_detector_that_sees_what_is_odd(place):
    assert results(place, "photos")["protocols"]["per_image"]["auroc"] > 0.95
    assert results(place, "photos")["detector"]["threshold_source"] == "0.95 quantile of normal validation images"
    for name in ("report.html", "saved_model", "model.onnx", *(["model.tflite"] if exports_to_litert() else [])):
        assert (place / "runs" / "photos" / name).exists()


def test_an_array_file_trains_as_it_is(place):
    assert results(place, "pneumonia")["channels"] == 1


def test_new_pictures_are_scored_and_drawn(place):
    with (place / "scores" / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    odd = [float(row["score"]) for row in rows if "odd" in row["path"]]
    usual = [float(row["score"]) for row in rows if "odd" not in row["path"]]
    assert (len(odd), len(usual)) == (3, 6)
    assert min(odd) > max(usual)
    assert "broken.jpg" in (place / "scores" / "unreadable.csv").read_text()
    assert (place / "scores" / "maps" / "odd" / "000.jpg.png").exists()


def test_a_class_of_which_nothing_can_be_read_is_named_in_one_sentence(tmp_path):
    write_pictures(tmp_path / "photos" / "normal", 30)
    write_pictures(tmp_path / "photos" / "abnormal", 4)
    for picture in (tmp_path / "photos" / "normal").glob("*.jpg"):
        picture.write_bytes(picture.read_bytes()[:200])
    options = [f"--data_dir={tmp_path / 'photos'}", f"--workdir={tmp_path / 'run'}", *SMALLER]
    done = agad("--flagfile=flags/folder.cfg", *options)
    assert done.returncode == 1
    assert re.fullmatch(r"agad_tf: None of the 24 images of class normal for train can be read: .*\n", done.stderr)
    assert not (tmp_path / "run").exists()


def options_for_broken_pictures(folder, cache):
    """Flags of a run whose normal images break after it has looked at them."""
    (folder / "run").mkdir()
    (folder / "run" / "left_out.csv").write_text("path,complaint\n")
    write_pictures(folder / "photos" / "normal", 30)
    write_pictures(folder / "photos" / "abnormal", 4)
    for picture in (folder / "photos" / "normal").glob("*.jpg"):
        picture.write_bytes(picture.read_bytes()[:200])
    paths = (f"--data_dir={folder / 'photos'}", f"--workdir={folder / 'run'}")
    return ["--flagfile=flags/folder.cfg", *paths, f"--cache_gib={cache}", *SMALLER]


@pytest.mark.parametrize("cache", ["4", "0"])
def test_a_picture_that_breaks_after_it_was_looked_at_is_named_in_one_sentence(tmp_path, cache):
    """Whether images are read at once or batch by batch."""
    done = agad(*options_for_broken_pictures(tmp_path, cache))
    assert done.returncode == 1
    last = re.split(r"[\r\n]+", done.stderr.strip())[-1]
    assert re.search(r"^agad_tf: \S+normal/\d+\.jpg cannot be read as an image", last), done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_that_fails_ends_although_other_images_are_still_read(tmp_path):
    command = [sys.executable, "-c", ON_A_SLOW_DISK, *options_for_broken_pictures(tmp_path, cache=0)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "cannot be read as an image" in done.stderr
