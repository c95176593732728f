"""Which runs learn from the masks of labelled anomalies."""

import numpy as np
import pytest
from PIL import Image

from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.recipes import RECIPES
from agad_tf.training import run as training
from agad_tf.training.fitting import Fitting

SMALL = {"crop_size": 16, "scales": (1,), "width": 1 / 16, "image_size": 32, "batch_size": 4, "steps_per_epoch": 1}


@pytest.fixture
def images(tmp_path):
    """Eight labelled anomalies to train on or to validate with, the first of which has no mask."""
    folder = tmp_path / "images"
    for part, count in (("train/good", 16), ("test/good", 2), ("test/hole", 2), ("train/hole", 8), ("masks/hole", 8)):
        (folder / part).mkdir(parents=True)
        for number in range(count):
            pixels = np.full((32, 32), 100 + number, np.uint8)
            if "hole" in part:
                pixels = 255 * np.eye(32, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / part / f"{part[:2]}{number}.png")
    (folder / "masks").rename(folder / "ground_truth")
    for number in range(8):
        mask = folder / "ground_truth" / "hole" / f"ma{number}.png"
        mask.rename(mask.with_name(f"tr{number}_mask.png"))
    (folder / "ground_truth" / "hole" / "tr0_mask.png").unlink()
    return folder


class Begun(BaseException):
    """Ends a run before its first step."""


@pytest.fixture
def begin(images, tmp_path, monkeypatch, capsys):
    """A function that begins a run, and gives the inputs of its training and what it said."""

    def stop(fitting):
        raise Begun(fitting.inputs)

    monkeypatch.setattr(Fitting, "run", stop)

    def inputs(**options):
        recipe = {**RECIPES["own_images"], **SMALL, **options}
        folder = {"dataset": "folder", "data_dir": str(images), "normal_class": "good"}
        with pytest.raises(Begun) as begun:
            training.train(ExperimentConfig(**folder, **recipe, workdir=str(tmp_path / "run")))
        return begun.value.args[0], capsys.readouterr().out

    return inputs


def test_masks_of_labelled_anomalies_reach_training(begin):
    inputs, said = begin(gamma=0.3)
    masks = inputs.masks_of(np.arange(inputs.anomalies)).numpy()[..., 0]
    known = ~np.isnan(masks).any(axis=(1, 2))
    assert f"{known.sum()} of {inputs.anomalies} labelled anomalies for training have a mask." in said
    assert known.sum() >= inputs.anomalies - 1 > 0
    np.testing.assert_array_equal(masks[known], np.tile(np.eye(32), (known.sum(), 1, 1)))


@pytest.mark.parametrize("options", [{}, {"gamma": 0.3, "segmentation": False}], ids=str)
def test_a_run_that_learns_from_no_masks_reads_none_and_says_nothing(begin, options):
    inputs, said = begin(**options)
    assert inputs.masks_of is None
    assert "have a mask" not in said
