"""Scores of the validation images after each epoch."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.metrics import roc_auc_score

from agad_tf.config.seconds import CLOCK
from agad_tf.data.splits import ABNORMAL, NORMAL, OneClassTask
from agad_tf.evaluation.family_scores import FamilyScores, read_family_scores, write_family_scores
from agad_tf.evaluation.scorer import Scorer
from agad_tf.training.divergence import DivergedError


class EpochScores(keras.callbacks.Callback):
    """Scores the validation images, and keeps the scores of the epoch that the family protocol reports.

    Adds to the logs "validation_score" (mean of the normal images), "validation_auroc" if the validation set has
    anomalies, and "validation_synthetic_auroc" against synthetic ones. The test set is scored only by the leaking
    protocol, and only if it has anomalies; nothing here depends on it.

    Args:
        task: the images.
        scorer: of the model in training.
        path: `.npz` file for the best epoch's labels and scores.
        synthetic: anomalies made from normal validation images, uint8 (images, height, width, channels), or None.
        with_family: whether to score the test set by the leaking protocol, if it has anomalies.
        first_epoch: the first epoch after which images are scored.
    """

    def __init__(
        self,
        task: OneClassTask,
        scorer: Scorer,
        path: Path,
        synthetic: np.ndarray | None = None,
        with_family: bool = True,
        first_epoch: int = 1,
    ):
        super().__init__()
        self.synthetic = synthetic
        self.task = task
        self.with_family = with_family and task.has_test_anomalies
        self.first_epoch = first_epoch
        self.scorer = scorer
        self.path = path
        self.validation_scores = np.empty(0, np.float32)
        self.best_auroc = -1.0
        if path.exists():
            best = read_family_scores(path)
            self.best_auroc = roc_auc_score(best.labels, best.scores)

    @CLOCK.within("validation scores")
    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Scores both sets, and adds the validation figures to `logs`.

        Raises:
            DivergedError: the scores are not finite; the epoch is not saved.
        """
        if epoch + 1 < self.first_epoch:
            return
        validation = self.task.validation
        scored = [validation.images] if self.synthetic is None else [validation.images, self.synthetic]
        self.validation_scores, *synthetic_scores = [self.scorer.per_image(images) for images in scored]
        if not all(np.isfinite(scores).all() for scores in (self.validation_scores, *synthetic_scores)):
            raise DivergedError(f"the scores after epoch {epoch + 1} were not finite")
        normal_scores = self.validation_scores[validation.labels == NORMAL]
        logs["validation_score"] = float(normal_scores.mean())
        if validation.labels.any():
            logs["validation_auroc"] = roc_auc_score(validation.labels, self.validation_scores)
        for scores in synthetic_scores:
            labels = np.repeat([NORMAL, ABNORMAL], [len(normal_scores), len(scores)])
            logs["validation_synthetic_auroc"] = roc_auc_score(labels, np.concatenate([normal_scores, scores]))
        if not self.with_family:
            return
        with CLOCK.within("test scores"):
            labels, scores = self.scorer.family(self.task.test)
        auroc = roc_auc_score(labels, scores)
        if auroc > self.best_auroc:
            self.best_auroc = auroc
            write_family_scores(self.path, FamilyScores(labels, scores, epoch + 1))
