import math

import numpy as np
import pytest

from agad_tf.config.choices import LEARNING_RATE_SCHEDULES, RESIDUAL_NORMS
from agad_tf.config.errors import RunError
from agad_tf.data.splits import OneClassTask
from agad_tf.data.training_batches import training_inputs
from agad_tf.evaluation.family_scores import read_family_scores
from agad_tf.evaluation.scorer import Scorer
from agad_tf.models.scores import fit_mahalanobis, residual_features
from agad_tf.training.divergence import DivergedError, Divergence
from agad_tf.training.epoch_scores import EpochScores
from agad_tf.training.learning_rate import LearningRate
from agad_tf.training.normal_residuals import NormalResiduals
from agad_tf.training.progress import Progress


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


def test_synthetic_anomalies_are_told_from_the_normal_validation_images(
    build_model, task, batch, tmp_path, monkeypatch
):
    model = build_model()
    scorer = Scorer(model, 4)
    normals = task.validation.of_label(0).images
    monkeypatch.setattr(scorer, "per_image", lambda images: np.asarray(images).mean(axis=(1, 2, 3)))
    for synthetic, expected in ((np.full_like(normals, 255), 1.0), (np.zeros_like(normals), 0.0)):
        logs = {}
        EpochScores(task, scorer, tmp_path / "family.npz", synthetic).on_epoch_end(0, logs)
        assert logs["validation_synthetic_auroc"] == expected


@pytest.mark.parametrize("residual_norm", RESIDUAL_NORMS)
def test_residuals_of_normal_training_images_are_learned_where_the_score_needs_them(build_model, task, residual_norm):
    model = build_model(residual_norm=residual_norm)
    inputs = training_inputs(task.train, model.generator.input_shape[1])
    callback = NormalResiduals(inputs)
    callback.set_model(model)
    callback.on_epoch_end(0)
    normals = inputs.of_rows(np.arange(inputs.normals))
    expected = residual_features(normals, model(normals))
    for variable, value in zip(model.residual_statistics, fit_mahalanobis(expected.numpy()), strict=False):
        np.testing.assert_allclose(variable, value, rtol=1e-3, atol=1e-3)
    assert bool(model.residual_statistics) == (residual_norm in ("mahalanobis", "combined"))


def test_residuals_that_are_not_finite_leave_the_statistics_as_they_are(build_model, task):
    model = build_model(residual_norm="mahalanobis")
    model.generator.trainable_variables[-1].assign(model.generator.trainable_variables[-1] * np.nan)
    callback = NormalResiduals(model, training_inputs(task.train, model.generator.input_shape[1]))
    callback.set_model(model)
    callback.on_epoch_end(0)
    assert all(np.isfinite(np.array(variable)).all() for variable in model.residual_statistics)


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
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    for name in ("nothing.npz", "damaged.npz"):
        with pytest.raises(RunError, match="missing or damaged"):
            read_family_scores(tmp_path / name)


SHARES = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "cubic": lambda done: (1 - done) ** 3,
    "sextic": lambda done: (1 - done) ** 6,
}


@pytest.mark.parametrize("schedule", LEARNING_RATE_SCHEDULES)
def test_schedules_set_the_learning_rate_of_both_optimizers(build_model, batch, schedule):
    model = build_model()
    seen = []

    class Spy(LearningRate):
        def on_epoch_begin(self, epoch, logs=None):
            super().on_epoch_begin(epoch, logs)
            seen.append([float(o.learning_rate) for o in (model.generator_optimizer, model.discriminator_optimizer)])

    model.fit(*batch, epochs=4, verbose=0, callbacks=[Spy(0.01, schedule, 4)])
    expected = [0.01 * SHARES[schedule](epoch / 4) for epoch in range(4)]
    np.testing.assert_allclose(seen, np.stack([expected, expected], axis=1), rtol=1e-6)


def test_progress_counts_steps_that_are_taken_at_a_time(build_model):
    model = build_model(compiled=False)
    model.compile(steps_per_execution=2, jit_compile=False)
    progress = Progress(steps_per_epoch=4, epochs=2)
    images = np.zeros((8, 16, 16, 1), np.float32)
    model.fit(images, batch_size=2, epochs=2, verbose=0, callbacks=[progress])
    assert progress.bar.n == 8


def poisoned_batches(poisoned_steps, steps):
    images = np.random.default_rng(0).uniform(-1, 1, (8 * steps, 16, 16, 1)).astype(np.float32)
    for step in poisoned_steps:
        images[8 * step] = np.nan
    return images


def test_ten_steps_in_a_row_that_are_not_finite_end_training(build_model):
    model = build_model()
    with pytest.raises(DivergedError, match="10 steps in a row"):
        model.fit(
            poisoned_batches(range(10, 20), 20), batch_size=8, shuffle=False, verbose=0, callbacks=[Divergence(20)]
        )


def test_a_single_good_step_keeps_training_going(build_model):
    model = build_model()
    poisoned = set(range(20)) - {4, 15}
    history = model.fit(
        poisoned_batches(poisoned, 20), batch_size=8, shuffle=False, verbose=0, callbacks=[Divergence(20)]
    ).history
    assert history["skipped_steps"] == [18]


def test_an_epoch_of_few_steps_is_enough_to_see_divergence(build_model):
    with pytest.raises(DivergedError, match="3 steps in a row"):
        build_model().fit(
            poisoned_batches(range(3), 3), batch_size=8, shuffle=False, verbose=0, callbacks=[Divergence(3)]
        )


def test_scores_that_are_not_finite_end_training(build_model, task, tmp_path):
    model = build_model()
    scores = EpochScores(task, Scorer(model, 4), tmp_path / "family.npz")
    for variable in model.generator.trainable_variables:
        variable.assign(np.full(variable.shape, np.nan))
    with pytest.raises(DivergedError, match="scores after epoch 3"):
        scores.on_epoch_end(2, {})
    assert not (tmp_path / "family.npz").exists()
