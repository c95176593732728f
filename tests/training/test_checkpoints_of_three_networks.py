"""A run of three networks goes on from its checkpoint as if it had never stopped."""

import numpy as np
import pytest

from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.recipes import OWN_IMAGES, RECIPES
from agad_tf.models.build import build_model
from agad_tf.training.checkpoints import Checkpoints
from agad_tf.training.learning_rate import LearningRate

SHAPE = (16, 32, 1)


@pytest.fixture
def config():
    small = {"crop_size": 16, "scales": (1,), "width": 1 / 16, "batch_size": 4}
    return ExperimentConfig(dataset="digits", **{**RECIPES[OWN_IMAGES], **small})


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(-1, 1, (4, *SHAPE)).astype(np.float32)


def test_what_is_restored_trains_on_and_scores_as_what_was_saved(config, images, tmp_path):
    model = build_model(config, SHAPE)
    model.train_on_batch(images)
    model.adapt(images)
    checkpoints = Checkpoints(model, tmp_path)
    checkpoints.on_epoch_end(0)

    again = build_model(config, SHAPE)
    assert Checkpoints(again, tmp_path).restore(tmp_path) == (1, 0)
    np.testing.assert_array_equal(again.reconstruct_and_score(images)[1], model.reconstruct_and_score(images)[1])
    for each in (model, again):
        each.train_on_batch(images)
    for network in ("generator", "discriminator", "segmenter"):
        for expected, found in zip(getattr(model, network).weights, getattr(again, network).weights, strict=True):
            np.testing.assert_array_equal(found, expected, err_msg=expected.path)


def test_the_segmenter_learns_at_the_rate_of_the_schedule(config):
    model = build_model(config, SHAPE)
    schedule = LearningRate(0.5, "cosine", epochs=2)
    schedule.set_model(model)
    schedule.on_epoch_begin(1)
    assert float(model.segmenter_optimizer.learning_rate) == pytest.approx(0.25)
