import math

import numpy as np
import pytest

from agad_tf.callbacks import (
    Checkpoints,
    CosineLearningRate,
    EpochScores,
    Progress,
    read_family_scores,
)
from agad_tf.config import RunError
from agad_tf.data.protocols import OneClassTask
from agad_tf.evaluation.protocols import Scorer


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
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    for name in ("nothing.npz", "damaged.npz"):
        with pytest.raises(RunError, match="missing or damaged"):
            read_family_scores(tmp_path / name)


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
    assert checkpoints.restore(tmp_path) == 3
    assert float(checkpoints.seconds) > 0
    for first, second in zip(
        [*model.weights, *model.generator_optimizer.variables, *model.discriminator_optimizer.variables],
        [*again.weights, *again.generator_optimizer.variables, *again.discriminator_optimizer.variables],
        strict=True,
    ):
        np.testing.assert_array_equal(first.numpy(), second.numpy())


def test_without_a_checkpoint_there_is_nothing_to_restore(build_model, tmp_path):
    assert Checkpoints(build_model(), tmp_path).restore(tmp_path) == 0


def test_a_damaged_checkpoint_gives_way_to_the_one_before(build_model, batch, tmp_path, capsys):
    model = build_model()
    model.fit(*batch, epochs=2, verbose=0, callbacks=[Checkpoints(model, tmp_path)])
    newest, before = (next(tmp_path.glob(f"epoch-{epoch}.data*")) for epoch in (2, 1))
    newest.write_bytes(newest.read_bytes()[:100])
    assert Checkpoints(build_model(), tmp_path).restore(tmp_path) == 1
    assert "epoch-2 is damaged" in capsys.readouterr().err
    before.write_bytes(before.read_bytes()[:100])
    with pytest.raises(RunError, match=r"No checkpoint .* is whole"):
        Checkpoints(build_model(), tmp_path).restore(tmp_path)


def test_progress_counts_steps_that_are_taken_at_a_time(build_model):
    model = build_model(compiled=False)
    model.compile(steps_per_execution=2, jit_compile=False)
    progress = Progress(steps_per_epoch=4, epochs=2, first_epoch=0)
    images = np.zeros((8, 16, 16, 1), np.float32)
    model.fit(images, batch_size=2, epochs=2, verbose=0, callbacks=[progress])
    assert progress.bar.n == 8
