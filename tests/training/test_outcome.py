"""What a measured run says of its images."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from agad_tf.config.experiment import ExperimentConfig
from agad_tf.files.workdir import Workdir
from agad_tf.training import outcome
from agad_tf.training.run import train
from tests.runs import digits_run


@pytest.fixture
def run_on(tmp_path, capsys):
    """A function that measures a baseline on images of two greys: results.json, what was printed, the report."""

    def run(normal_grey, abnormal_grey):
        random = np.random.default_rng(0)
        for part, grey, count in (
            ("train/good", normal_grey, 8),
            ("test/good", normal_grey, 5),
            ("test/bad", abnormal_grey, 5),
        ):
            (tmp_path / "images" / part).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(grey - 20, grey + 20, (16, 16), np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / part / f"{number}.png")
        folder = {"dataset": "folder", "data_dir": str(tmp_path / "images"), "normal_class": "good"}
        config = ExperimentConfig(**folder, method="knn", image_size=16, workdir=str(tmp_path / "run"))
        train(config)
        workdir = Workdir(config.folder)
        return json.loads(workdir.results.read_text()), capsys.readouterr().out, workdir.report.read_text()

    return run


def test_images_that_differ_in_brightness_are_warned_of_everywhere(run_on):
    results, printed, report = run_on(80, 160)
    (warning,) = [each for each in results["warnings"] if "brightness" in each]
    assert "normal from abnormal test images with an AUROC of 100.0 %" in warning
    assert f"Warning: {warning}" in printed
    assert warning in re.sub("<.*?>", "", report)


def test_images_of_one_brightness_are_not_warned_of(run_on):
    assert "brightness" not in "".join(run_on(100, 101)[0]["warnings"])


def test_brightness_of_published_sets_is_not_looked_at(tmp_path, monkeypatch):
    monkeypatch.delattr(outcome, "brightness_warning")
    train(digits_run(tmp_path / "run", method="knn", gamma=0.0))
