import math

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agad_tf.callbacks import (
    Checkpoints,
    CosineLearningRate,
    EpochScores,
    Summaries,
    image_grid,
    read_family_scores,
)
from agad_tf.config import RunError
from agad_tf.data.protocols import OneClassTask, Split
from agad_tf.evaluation.protocols import Scorer


@pytest.fixture
def task():
    rng = np.random.default_rng(0)

    def split(normals, anomalies):
        images = rng.integers(0, 256, (normals + anomalies, 16, 16, 1), np.uint8)
        return Split(images, np.repeat([0, 1], [normals, anomalies]).astype(np.int32), np.arange(normals + anomalies))

    return OneClassTask(train=split(8, 4), validation=split(6, 5), test=split(6, 6))


@pytest.fixture
def fitted(build_model, task, batch, tmp_path):
    model = build_model()
    epoch_scores = EpochScores(task, Scorer(model, 4), tmp_path / "family.npz")
    callbacks = [epoch_scores, Summaries(tmp_path / "tensorboard", task, epoch_scores)]
    history = model.fit(*batch, batch_size=8, epochs=2, verbose=0, callbacks=callbacks).history
    return model, history


def test_epochs_are_scored_on_validation_images(fitted):
    _, history = fitted
    assert len(history["validation_auroc"]) == 2
    assert all(0 <= value <= 1 for value in history["validation_auroc"])
    assert all(value > 0 for value in history["validation_score"])


def test_validation_without_anomalies_has_no_auroc(build_model, task, batch, tmp_path):
    model = build_model()
    normal_only = OneClassTask(task.train, task.validation.of_label(0), task.test)
    scores = EpochScores(normal_only, Scorer(model, 4), tmp_path / "family.npz")
    history = model.fit(*batch, epochs=1, verbose=0, callbacks=[scores]).history
    assert "validation_auroc" not in history
    assert "validation_score" in history


def test_family_keeps_the_best_epoch_on_the_test_set(fitted, task, tmp_path, monkeypatch):
    model, _ = fitted
    scorer = Scorer(model, 4)
    labels = np.repeat([0, 1], 6).astype(np.int32)
    scores = EpochScores(task, scorer, tmp_path / "best.npz")
    for epoch, quality in enumerate((1, 5, 3)):
        monkeypatch.setattr(scorer, "family", lambda _, q=quality: (labels, np.arange(12) % 7 + q * labels))
        scores.on_epoch_end(epoch, {})
    assert read_family_scores(tmp_path / "best.npz")[2] == 2
    # A resumed run knows what was best before.
    resumed = EpochScores(task, scorer, tmp_path / "best.npz")
    resumed.on_epoch_end(2, {})
    assert read_family_scores(tmp_path / "best.npz")[2] == 2


def test_missing_family_scores_are_a_failure(tmp_path):
    with pytest.raises(RunError, match="missing or damaged"):
        read_family_scores(tmp_path / "nothing.npz")


def test_tensorboard_has_losses_counter_rates_scores_images_and_histograms(fitted, tmp_path):
    model, history = fitted
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"tensors": 0}).Reload()
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


def test_cosine_lowers_the_learning_rate_of_both_optimizers(build_model, batch):
    model = build_model()
    seen = []

    class Spy(CosineLearningRate):
        def on_epoch_begin(self, epoch, logs=None):
            super().on_epoch_begin(epoch, logs)
            seen.append([float(o.learning_rate) for o in (model.generator_optimizer, model.discriminator_optimizer)])

    model.fit(*batch, epochs=4, verbose=0, callbacks=[Spy(0.01, 4)])
    expected = [0.005 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)]
    np.testing.assert_allclose(seen, np.stack([expected, expected], axis=1), rtol=1e-6)


def test_checkpoint_restores_weights_optimizers_and_epoch(build_model, batch, tmp_path):
    model = build_model()
    model.fit(*batch, epochs=3, verbose=0, callbacks=[Checkpoints(model, tmp_path)])
    again = build_model(seed=5)
    checkpoints = Checkpoints(again, tmp_path)
    assert checkpoints.restore() == 3
    assert float(checkpoints.seconds) > 0
    for first, second in zip(
        [*model.weights, *model.generator_optimizer.variables, *model.discriminator_optimizer.variables],
        [*again.weights, *again.generator_optimizer.variables, *again.discriminator_optimizer.variables],
        strict=True,
    ):
        np.testing.assert_array_equal(first.numpy(), second.numpy())


def test_without_a_checkpoint_there_is_nothing_to_restore(build_model, tmp_path):
    assert Checkpoints(build_model(), tmp_path).restore() == 0


def test_a_damaged_checkpoint_is_said_to_be_damaged(build_model, batch, tmp_path):
    model = build_model()
    model.fit(*batch, epochs=1, verbose=0, callbacks=[Checkpoints(model, tmp_path)])
    data = next(tmp_path.glob("*.data*"))
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(RunError, match="is damaged"):
        Checkpoints(build_model(), tmp_path).restore()
