"""What happens between the steps of training: scores, a line for the terminal, a look at whether to go on."""

import math
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from agad_tf.config.experiment import RunError
from agad_tf.data.readers import read_npz
from agad_tf.data.splits import ABNORMAL, NORMAL, OneClassTask
from agad_tf.data.training_batches import TrainingInputs
from agad_tf.evaluation.scorer import Scorer
from agad_tf.models.agad import AGAD
from agad_tf.models.scores import fit_mahalanobis, residual_features

# What is left of the learning rate when a share of the epochs is done. The names are those of
# `agad_tf.config.choices.LEARNING_RATE_SCHEDULES`.
_SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "cubic": lambda done: (1 - done) ** 3,
    "sextic": lambda done: (1 - done) ** 6,
}


class DivergedError(Exception):
    """Losses or scores are no longer numbers; the message says which, and when."""


class LearningRate(keras.callbacks.Callback):
    """Sets the learning rate of both optimizers at the beginning of every epoch.

    Not one of Keras' schedules: they count an optimizer's own steps, and a discriminator drawn anew starts to
    count from 0 again.

    Args:
        learning_rate: of the first epoch.
        schedule: "constant"; "cosine": along half a cosine, to reach 0 after the last epoch; or "cubic" and
            "sextic": as the third and the sixth power of the share of epochs that are left.
        epochs: of the whole run.
    """

    def __init__(self, learning_rate: float, schedule: str, epochs: int):
        super().__init__()
        self.initial_learning_rate = learning_rate
        self.schedule = schedule
        self.epochs = epochs

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Sets the epoch's learning rate."""
        learning_rate = self.initial_learning_rate * _SCHEDULES[self.schedule](epoch / self.epochs)
        self.model.generator_optimizer.learning_rate = learning_rate
        self.model.discriminator_optimizer.learning_rate = learning_rate


class Divergence(keras.callbacks.Callback):
    """Ends training when none of `LIMIT` steps in a row could be taken.

    Must come after `Checkpoints`, which knows of an epoch's earlier steps.

    Args:
        steps_per_epoch: batches in an epoch.
    """

    LIMIT = 10

    def __init__(self, steps_per_epoch: int):
        super().__init__()
        self.window = min(self.LIMIT, steps_per_epoch)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Counts from here."""
        self._look(0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Looks at every so many steps at once, as a look keeps an accelerator waiting.

        Raises:
            DivergedError: all of them were left out.
        """
        taken, skipped = batch + 1 - self.steps, self.skipped
        if taken >= self.window:
            self._look(batch + 1)
            if self.skipped - skipped >= taken:
                raise DivergedError(f"the losses or gradients of {taken} steps in a row were not finite")

    def _look(self, steps: int) -> None:
        self.steps = steps
        self.skipped = float(self.model.skipped_steps.result())


class NormalResiduals(keras.callbacks.Callback):
    """Finds what residuals of normal training images are like, for models whose scores depend on it.

    Must come before what scores images. Of training images, as the threshold is chosen on the validation images: those
    would be less unusual among themselves than others are.

    Args:
        model: the compiled model.
        inputs: the training images.
    """

    IMAGES = 2048
    BATCH_SIZE = 256

    def __init__(self, model: AGAD, inputs: TrainingInputs):
        super().__init__()
        self.inputs = inputs
        self._features = tf.function(lambda images: residual_features(images, model(images)), reduce_retracing=True)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Measures, if the model asks for it."""
        if not self.model.residual_statistics:
            return
        # From all of them, as they may come in an order that means something.
        count = min(self.inputs.normals, self.IMAGES)
        rows = np.arange(count) * self.inputs.normals // count
        parts = np.split(rows, range(self.BATCH_SIZE, len(rows), self.BATCH_SIZE))
        features = np.concatenate([self._features(self.inputs.of_rows(part)) for part in parts])
        # Others are found when the validation images are scored.
        if np.isfinite(features).all():
            for variable, value in zip(self.model.residual_statistics, fit_mahalanobis(features), strict=True):
                variable.assign(value)


class EpochScores(keras.callbacks.Callback):
    """Scores the validation images, and keeps the epoch that the family protocol would report.

    Adds to the logs "validation_score" (mean of the normal images), where the validation set has anomalies
    "validation_auroc", and against synthetic ones "validation_synthetic_auroc". The test set is scored under the
    leaking protocol only, and nothing here depends on it.

    Args:
        task: the images.
        scorer: of the model in training.
        path: `.npz` that the best epoch's labels and scores are kept in.
        synthetic: anomalies made from normal validation images, uint8 (images, height, width, channels), or none.
    """

    def __init__(self, task: OneClassTask, scorer: Scorer, path: Path, synthetic: np.ndarray | None = None):
        super().__init__()
        self.synthetic = synthetic
        self.task = task
        self.scorer = scorer
        self.path = path
        self.validation_scores = np.empty(0, np.float32)
        self.best_auroc = roc_auc_score(*read_family_scores(path)[:2]) if path.exists() else -1.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Scores both sets; `logs` gets the validation figures.

        Raises:
            DivergedError: the scores are not finite; the epoch is not saved.
        """
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
        labels, scores = self.scorer.family(self.task.test)
        auroc = roc_auc_score(labels, scores)
        if auroc > self.best_auroc:
            self.best_auroc = auroc
            beside = self.path.with_suffix(".partial.npz")
            np.savez(beside, labels=labels, scores=scores, epoch=epoch + 1)
            beside.replace(self.path)


class Progress(keras.callbacks.Callback):
    """A bar over the steps of the whole run, and a line an epoch; a context manager that closes the bar in any case.

    Args:
        steps_per_epoch: batches in an epoch.
        epochs: of the whole run.
        first_step: steps that are done already, of all epochs.
    """

    SHOWN = (
        "generator_loss",
        "contextual_loss",
        "discriminator_loss",
        "validation_score",
        "validation_auroc",
        "validation_synthetic_auroc",
    )

    def __init__(self, steps_per_epoch: int, epochs: int, first_step: int = 0):
        super().__init__()
        self.epochs = epochs
        self.steps_shown = 0
        self.bar = tqdm(
            total=steps_per_epoch * epochs,
            initial=first_step,
            desc="training",
            unit="step",
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        # Else it would be drawn again below the sentence that says what went wrong.
        self.bar.close()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Moves the bar; `batch` is the last of the steps that were taken at a time."""
        self.bar.update(batch + 1 - self.steps_shown)
        self.steps_shown = batch + 1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Counts the epoch's steps from 0."""
        self.steps_shown = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Says how the epoch went."""
        shown = "  ".join(f"{name} {logs[name]:.4g}" for name in self.SHOWN if name in logs)
        self.bar.write(f"epoch {epoch + 1}/{self.epochs}  {shown}")


class Interruption(keras.callbacks.Callback):
    """Ends training between two steps on Ctrl-C or SIGTERM; a context manager around `fit`.

    Python's own way, an exception wherever the process happens to be, aborts it when that is inside TensorFlow.
    Must come after the checkpoints among the callbacks, so that they know how far training has come.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        super().__init__()
        self.requested = False

    def __enter__(self) -> "Interruption":
        # Python allows handlers in the main thread alone; elsewhere signals are not ours to take.
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._handlers = {number: signal.signal(number, self._request) for number in self.SIGNALS if in_main_thread}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _request(self, *_: object) -> None:
        self.requested = True

    def poll(self) -> None:
        """Ends what calls it if that was asked for.

        Raises:
            KeyboardInterrupt: it was.
        """
        if self.requested:
            raise KeyboardInterrupt

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Ends training if that was asked for during the step."""
        self.poll()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Ends training if that was asked for while the epoch was scored."""
        self.poll()


def read_family_scores(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Reads what `EpochScores` kept: labels, scores and the epoch, the best on the test set.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        kept = read_npz(path)
        return kept["labels"], kept["scores"], int(kept["epoch"])
    except (RunError, KeyError, TypeError) as error:
        raise RunError(f"{path} is missing or damaged; train the run again in another --workdir.") from error
