import numpy as np
import pytest

from agad_tf.data.splits import OneClassTask
from agad_tf.evaluation.family_scores import read_family_scores
from agad_tf.evaluation.scorer import Scorer
from agad_tf.training.divergence import DivergedError
from agad_tf.training.epoch_scores import EpochScores


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


def test_without_test_anomalies_the_leaking_protocol_is_not_computed(build_model, task, batch, tmp_path, monkeypatch):
    model = build_model()
    scorer = Scorer(model, 4)
    monkeypatch.setattr(scorer, "family", lambda _: pytest.fail("there is nothing to compare"))
    normals = OneClassTask(*(split.of_label(0) for split in (task.train, task.validation, task.test)))
    logs = {}
    EpochScores(normals, scorer, tmp_path / "family.npz").on_epoch_end(0, logs)
    assert set(logs) == {"validation_score"}
    assert not (tmp_path / "family.npz").exists()


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


def test_scores_that_are_not_finite_end_training(build_model, task, tmp_path):
    model = build_model()
    scores = EpochScores(task, Scorer(model, 4), tmp_path / "family.npz")
    for variable in model.generator.trainable_variables:
        variable.assign(np.full(variable.shape, np.nan))
    with pytest.raises(DivergedError, match="scores after epoch 3"):
        scores.on_epoch_end(2, {})
    assert not (tmp_path / "family.npz").exists()
