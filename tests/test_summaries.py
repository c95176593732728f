import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agad_tf.callbacks import EpochScores
from agad_tf.evaluation.protocols import Scorer
from agad_tf.losses import ANOMALY_TERMS, NORMAL_TERMS
from agad_tf.summaries import Summaries, event_file, image_grid


def events_of(directory):
    return EventAccumulator(str(directory), size_guidance={"tensors": 0}).Reload()


def test_tensorboard_has_losses_counter_rates_scores_images_and_histograms(fitted, tmp_path):
    model, history = fitted
    events = events_of(tmp_path / "tensorboard")
    tags = set(events.Tags()["tensors"])
    scalars = {*model.loss_means, "discriminator_resets", "validation_auroc", "validation_score"}
    scalars |= {"learning_rate/generator_optimizer", "learning_rate/discriminator_optimizer"}
    pictures = {f"validation/{label}" for label in ("normal", "abnormal")}
    histograms = {f"scores/validation/{label}" for label in ("normal", "abnormal")}
    assert scalars | pictures | histograms <= tags
    assert any(tag.startswith("discriminator/") for tag in tags)
    assert [event.step for event in events.Tensors("generator_loss")] == [1, 2]
    found = [tf.make_ndarray(event.tensor_proto).item() for event in events.Tensors("generator_loss")]
    assert found == pytest.approx(history["generator_loss"])


def test_without_labelled_anomalies_their_losses_are_not_shown(build_model, task, batch, tmp_path):
    model = build_model()
    normal_only = dataclasses.replace(task, train=task.train.of_label(0))
    scores = EpochScores(normal_only, Scorer(model, 4), tmp_path / "family.npz")
    images = batch[0][batch[1] == 0]
    model.fit(images, epochs=1, verbose=0, callbacks=[scores, Summaries(tmp_path / "events", normal_only, scores)])
    tags = set(events_of(tmp_path / "events").Tags()["tensors"])
    assert tags >= set(NORMAL_TERMS)
    assert not tags & set(ANOMALY_TERMS)


def test_what_is_written_again_takes_the_place_of_what_was(tmp_path):
    for value in (1.0, 2.0):
        with event_file(tmp_path, "test", 3):
            tf.summary.scalar("score", value)
    with event_file(tmp_path, "another-test", 4):
        tf.summary.scalar("score", 5.0)
    found = [tf.make_ndarray(event.tensor_proto).item() for event in events_of(tmp_path).Tensors("score")]
    assert found == [2.0, 5.0]


def test_epochs_of_one_second_are_read_in_their_order(tmp_path):
    for epoch in range(1, 13):
        with event_file(tmp_path, "epoch", epoch):
            tf.summary.scalar("score", epoch)
    assert [event.step for event in events_of(tmp_path).Tensors("score")] == list(range(1, 13))


def test_image_grid_shows_input_reconstruction_re_reconstruction_and_error(fitted, task):
    model, _ = fitted
    images = task.validation.images[:2]
    grid = image_grid(model, images).numpy()[0, ::3, ::3, 0]
    assert grid.shape == (4 * 16, 2 * 16)
    inputs = images[..., 0] / 127.5 - 1
    reconstruction = model.predict(inputs[..., None], verbose=0)
    re_reconstruction = model.predict(reconstruction, verbose=0)
    np.testing.assert_allclose(grid[:16, :16], images[0, ..., 0] / 255, atol=1e-6)
    np.testing.assert_allclose(grid[16:32, 16:], (reconstruction[1, ..., 0] + 1) / 2, atol=1e-5)
    np.testing.assert_allclose(grid[32:48, :16], (re_reconstruction[0, ..., 0] + 1) / 2, atol=1e-5)
    np.testing.assert_allclose(grid[48:, :16], np.abs(inputs[0] - reconstruction[0, ..., 0]) / 2, atol=1e-5)
