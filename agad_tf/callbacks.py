"""What happens at the end of every epoch: scores, TensorBoard, a checkpoint, a line for the terminal."""

import math
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from agad_tf.config import RunError
from agad_tf.data.pipeline import to_network_input
from agad_tf.data.protocols import ABNORMAL, NORMAL, OneClassTask, Split
from agad_tf.evaluation.protocols import Scorer
from agad_tf.model import AGAD

LABEL_NAMES = {NORMAL: "normal", ABNORMAL: "abnormal"}
GRID_IMAGES = 8
GRID_SCALE = 3
GRID_ROWS = "From the top: input x, reconstruction G(x) (of a normal image: the pseudo-anomaly), its reconstruction \
G(G(x)), and the error |x − G(x)|."


class CosineLearningRate(keras.callbacks.Callback):
    """Lowers the learning rate of both optimizers from epoch to epoch along half a cosine.

    Not one of Keras' schedules: they count an optimizer's own steps, and a discriminator drawn anew starts to
    count from 0 again.

    Args:
        learning_rate: of the first epoch.
        epochs: after how many it would reach 0.
    """

    def __init__(self, learning_rate: float, epochs: int):
        super().__init__()
        self.initial_learning_rate = learning_rate
        self.epochs = epochs

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Sets the epoch's learning rate."""
        learning_rate = self.initial_learning_rate * (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        self.model.generator_optimizer.learning_rate = learning_rate
        self.model.discriminator_optimizer.learning_rate = learning_rate


class EpochScores(keras.callbacks.Callback):
    """Scores the validation images, and keeps the epoch that the family protocol would report.

    Adds to the logs "validation_score" (mean of the normal images) and, where the validation set has anomalies,
    "validation_auroc". The test set is scored under the leaking protocol only, and nothing here depends on it.

    Args:
        task: the images.
        scorer: of the model in training.
        path: `.npz` that the best epoch's labels and scores are kept in.
    """

    def __init__(self, task: OneClassTask, scorer: Scorer, path: Path):
        super().__init__()
        self.task = task
        self.scorer = scorer
        self.path = path
        self.validation_scores = np.empty(0, np.float32)
        self.best_auroc = roc_auc_score(*read_family_scores(path)[:2]) if path.exists() else -1.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Scores both sets; `logs` gets the validation figures.

        Raises:
            RunError: the scores are not finite; the epoch is not saved.
        """
        validation = self.task.validation
        self.validation_scores = self.scorer.per_image(validation.images)
        if not np.isfinite(self.validation_scores).all():
            raise RunError(
                f"After epoch {epoch + 1} the scores are not finite: the losses have diverged. "
                "Train with a lower --learning_rate in another --workdir."
            )
        logs["validation_score"] = float(self.validation_scores[validation.labels == NORMAL].mean())
        if validation.labels.any():
            logs["validation_auroc"] = roc_auc_score(validation.labels, self.validation_scores)
        labels, scores = self.scorer.family(self.task.test)
        auroc = roc_auc_score(labels, scores)
        if auroc > self.best_auroc:
            self.best_auroc = auroc
            beside = self.path.with_suffix(".partial.npz")
            np.savez(beside, labels=labels, scores=scores, epoch=epoch + 1)
            beside.replace(self.path)


class Summaries(keras.callbacks.Callback):
    """Writes TensorBoard's scalars, images and histograms.

    Args:
        directory: of the event files.
        task: the images.
        epoch_scores: has scored the validation images by the time this callback is called.
    """

    def __init__(self, directory: Path, task: OneClassTask, epoch_scores: EpochScores):
        super().__init__()
        self.writer = tf.summary.create_file_writer(str(directory))
        self.task = task
        self.epoch_scores = epoch_scores

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Writes what the epoch has brought; a run's steps in TensorBoard are its epochs, from 1."""
        with self.writer.as_default(step=epoch + 1):
            for name, value in logs.items():
                tf.summary.scalar(name, value)
            for name in ("generator_optimizer", "discriminator_optimizer"):
                tf.summary.scalar(f"learning_rate/{name}", getattr(self.model, name).learning_rate)
            for network in (self.model.generator, self.model.discriminator):
                for variable in network.variables:
                    tf.summary.histogram(f"{network.name}/{variable.path}", variable.value)
            write_scores_and_images(self.model, self.task.validation, self.epoch_scores.validation_scores, "validation")
        self.writer.flush()


def write_scores_and_images(model: AGAD, split: Split, scores: np.ndarray, name: str) -> None:
    """Writes score histograms and image grids of a split, by label, to the current summary writer."""
    for label, label_name in LABEL_NAMES.items():
        chosen = split.labels == label
        if chosen.any():
            tf.summary.histogram(f"scores/{name}/{label_name}", scores[chosen])
            grid = image_grid(model, split.images[chosen][:GRID_IMAGES])
            tf.summary.image(f"{name}/{label_name}", grid, description=GRID_ROWS)


def image_grid(model: AGAD, images: np.ndarray) -> tf.Tensor:
    """One picture with a column an image: x, G(x), G(G(x)) and |x − G(x)|.

    Args:
        model: the detector.
        images: uint8 (images, height, width, channels).

    Returns:
        float (1, height, width, channels) in [0, 1].
    """
    inputs = to_network_input(images, model.generator.input_shape[1])
    reconstruction = model(inputs, training=False)
    re_reconstruction = model(reconstruction, training=False)
    error = tf.abs(inputs - reconstruction) - 1.0
    rows = [tf.concat(tf.unstack(row), axis=1) for row in (inputs, reconstruction, re_reconstruction, error)]
    grid = (tf.concat(rows, axis=0)[tf.newaxis] + 1.0) / 2.0
    return tf.repeat(tf.repeat(grid, GRID_SCALE, axis=1), GRID_SCALE, axis=2)


class Checkpoints(keras.callbacks.Callback):
    """Saves weights, optimizers and the epoch's number after every epoch, and restores the newest.

    Must come last among the callbacks: an epoch that is saved is an epoch whose other traces are on disk.

    Args:
        model: the compiled model.
        directory: of the checkpoints.
    """

    def __init__(self, model: AGAD, directory: Path):
        super().__init__()
        self.epochs_done = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        checkpoint = tf.train.Checkpoint(model=model, epochs_done=self.epochs_done, seconds=self.seconds)
        self.manager = tf.train.CheckpointManager(checkpoint, str(directory), max_to_keep=2, checkpoint_name="epoch")
        self._epoch_began = tf.timestamp()

    def restore(self) -> int:
        """Restores the newest checkpoint, if there is one; returns the number of epochs done.

        Raises:
            RunError: the checkpoint is damaged.
        """
        if not self.manager.latest_checkpoint:
            return 0
        try:
            self.manager.checkpoint.restore(self.manager.latest_checkpoint).assert_existing_objects_matched()
        # A file that is too short comes as an IndexError.
        except (tf.errors.OpError, AssertionError, ValueError, IndexError) as error:
            raise RunError(
                f"The checkpoint {self.manager.latest_checkpoint} is damaged; remove its folder to train anew."
            ) from error
        return int(self.epochs_done)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts the clock."""
        self._epoch_began = tf.timestamp()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Saves."""
        self.epochs_done.assign(epoch + 1)
        self.seconds.assign_add(tf.timestamp() - self._epoch_began)
        self.manager.save(checkpoint_number=epoch + 1)


class Progress(keras.callbacks.Callback):
    """A bar over the steps of the whole run, and a line an epoch.

    Args:
        steps_per_epoch: batches in an epoch.
        epochs: of the whole run.
        first_epoch: epochs that are done already.
    """

    SHOWN = (
        "generator_loss",
        "contextual_loss",
        "discriminator_loss",
        "validation_score",
        "validation_auroc",
    )

    def __init__(self, steps_per_epoch: int, epochs: int, first_epoch: int):
        super().__init__()
        self.epochs = epochs
        self.bar = tqdm(
            total=steps_per_epoch * epochs,
            initial=steps_per_epoch * first_epoch,
            desc="training",
            unit="step",
        )

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Moves the bar."""
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Says how the epoch went."""
        shown = "  ".join(f"{name} {logs[name]:.4g}" for name in self.SHOWN if name in logs)
        self.bar.write(f"epoch {epoch + 1}/{self.epochs}  {shown}")

    def on_train_end(self, logs: Any = None) -> None:
        """Leaves the full bar."""
        self.bar.close()


def read_family_scores(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Reads what `EpochScores` kept: labels, scores and the epoch, the best on the test set.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as kept:
            return kept["labels"], kept["scores"], int(kept["epoch"])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise RunError(f"{os.fspath(path)} is missing or damaged; train the run again in another --workdir.") from error
