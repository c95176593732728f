"""Checkpoints: all that a run needs to go on as if it had never stopped, in the middle of an epoch too."""

import os
import re
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from agad_tf.config.errors import RunError
from agad_tf.config.seconds import CLOCK
from agad_tf.models.agad import AGAD

KEPT = 2
# Of an epoch that takes longer than this, so much at most is lost with the machine.
SAVE_SECONDS = 600.0
_NAME = re.compile(r"epoch-(\d+)(?:-step-(\d+))?\.index")


class Position(NamedTuple):
    """How far a run has come.

    Attributes:
        epoch: whole epochs done, each scored.
        step: steps done of the epoch under way.
    """

    epoch: int
    step: int = 0


class Checkpoints(keras.callbacks.Callback):
    """Saves all of a run's state after every epoch, and in one that takes long; restores the newest that is whole.

    Must come after the callbacks that write: an epoch that is saved is an epoch whose other traces are on disk.
    A file is written beside its place, made to reach the disk, and then put there; TensorFlow keeps a checksum of
    every tensor, and of the index.

    Args:
        model: the compiled model.
        directory: to save to.
    """

    def __init__(self, model: AGAD, directory: Path):
        super().__init__()
        self.directory = directory
        self.position = Position(0)
        self.epochs_done = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.steps_done = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.learning_rate_scale = tf.Variable(1.0, trainable=False)
        self._metrics = [variable.value for metric in model.metrics for variable in metric.variables]
        self._metric_values: list[np.ndarray] = []
        # TensorFlow finds the variables of networks and optimizers, and not those of a Keras model itself.
        names = [f"{name}{kind}" for kind in ("", "_optimizer") for name in ("generator", "discriminator", "segmenter")]
        found = {name: getattr(model, name, None) for name in names}
        networks = tf.train.Checkpoint(**{name: part for name, part in found.items() if part is not None})
        between_epochs = {"model": networks, "epochs_done": self.epochs_done, "seconds": self.seconds}
        # What versions before 0.5 saved.
        self._between_epochs = tf.train.Checkpoint(**between_epochs)
        # The optimizers have saved what they train, so that of a network that shares others' weights this is left.
        averages = model.ema_generator.variables if model.ema_generator is not None else []
        untrained = [variable for variable in model.auxiliary_variables if not variable.trainable]
        anywhere = {
            **between_epochs,
            "steps_done": self.steps_done,
            "learning_rate_scale": self.learning_rate_scale,
            "metrics": self._metrics,
            "scoring": [variable.value for variable in (*averages, *model.score_statistics)],
        }
        # What versions before 0.7 saved.
        self._without_untrained = tf.train.Checkpoint(**anywhere)
        self._anywhere = tf.train.Checkpoint(**anywhere, untrained=[variable.value for variable in untrained])
        # One graph for all: every checkpoint that is written eagerly leaves some KiB in memory.
        self._write = tf.function(self._write_anew, autograph=False)
        # Workers save together or not at all, and clocks and signals do not reach all of them at the same step.
        self.saves_within_epochs = not isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)
        self._saved: Position | None = None
        self._counted_until = self._saved_at = time.monotonic()

    @CLOCK.within("checkpoints")
    def restore(self, directory: Path) -> Position:
        """Restores the newest checkpoint of a directory that is whole.

        Returns:
            How far the run had come; nowhere without any checkpoint.

        Raises:
            RunError: there are checkpoints, and none can be read.
            PermissionError: they may not be read.
        """
        if directory.exists():
            _require_readable(directory, os.R_OK | os.X_OK)
        found = saved_positions(directory)
        for position in reversed(found):
            prefix = str(directory / _name(position))
            for file in directory.glob(f"{_name(position)}.*"):
                # TensorFlow takes an index that may not be read for a damaged one.
                _require_readable(file, os.R_OK)
            try:
                self._restore(prefix)
            except tf.errors.PermissionDeniedError as error:
                raise PermissionError(f"{prefix} may not be read; give this user the permission to read it.") from error
            # A file that is too short comes as an IndexError, an index that is none as a ValueError.
            except (tf.errors.OpError, AssertionError, ValueError, IndexError):
                tqdm.write(f"agad_tf: the checkpoint {prefix} is damaged and is left out.", file=sys.stderr)
            else:
                return self.position
        if found:
            raise RunError(
                f"No checkpoint in {directory} is whole, or none fits the settings that the model was built with; keep "
                "the folder, look at what has changed since, or train again in another --workdir."
            )
        return self.position

    def _restore(self, prefix: str) -> None:
        saved = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
        checkpoint = self._between_epochs
        if any(name.startswith("steps_done") for name in saved):
            has_untrained = any(name.startswith("untrained") for name in saved)
            checkpoint = self._anywhere if has_untrained else self._without_untrained
        else:
            self.steps_done.assign(0)
        checkpoint.read(prefix).assert_existing_objects_matched().expect_partial()
        self.position = self._saved = Position(int(self.epochs_done), int(self.steps_done))
        self._metric_values = [value.numpy() for value in self._metrics] if self.position.step else []

    def drop_newest(self) -> None:
        """Removes the checkpoint that was restored or saved last, unless it is the only one."""
        if len(found := saved_positions(self.directory)) > 1:
            self._remove(found[-1])

    @CLOCK.within("checkpoints")
    def save(self) -> None:
        """Saves where the run is now, between two steps."""
        now = time.monotonic()
        # As arrays: TensorFlow keeps every Python number that it has made a tensor of.
        self.seconds.assign_add(np.array(now - self._counted_until))
        self._counted_until = self._saved_at = now
        if self.position == self._saved:
            return
        self.epochs_done.assign(np.array(self.position.epoch))
        self.steps_done.assign(np.array(self.position.step))
        try:
            self._write()
            # The index comes last: a checkpoint that has one has all of its data.
            for file in sorted(self.directory.glob("partial.*")):
                with file.open("rb") as written:
                    os.fsync(written.fileno())
                file.replace(file.with_name(file.name.replace("partial", _name(self.position), 1)))
        finally:
            for file in self.directory.glob("partial.*"):
                file.unlink()
        self._saved = self.position
        for position in saved_positions(self.directory)[:-KEPT]:
            self._remove(position)

    def _write_anew(self) -> None:
        # Where variables are, as what a graph places by itself goes into a file of its own.
        with tf.device(self.steps_done.device):
            self._anywhere.write(str(self.directory / "partial"))

    def _remove(self, position: Position) -> None:
        # The index goes first: what is left of a removal that was cut short is no checkpoint.
        for file in sorted(self.directory.glob(f"{_name(position)}.*"), reverse=True):
            file.unlink()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts the clock; restores what the metrics had seen of an epoch that was interrupted."""
        self._counted_until = time.monotonic()
        self._first_step = self.position.step
        for variable, value in zip(self._metrics, self._metric_values, strict=False):
            variable.assign(value)
        self._metric_values = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Counts steps, and saves from time to time."""
        self.position = Position(self.position.epoch, self._first_step + batch + 1)
        if self.saves_within_epochs and time.monotonic() - self._saved_at > SAVE_SECONDS:
            self.save()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Saves."""
        self.position = Position(epoch + 1)
        self.save()


def saved_positions(directory: Path) -> list[Position]:
    """What checkpoints a directory has, the newest last, whole or not."""
    names = (_NAME.fullmatch(file.name) for file in directory.glob("epoch-*.index"))
    return sorted(Position(int(name[1]), int(name[2] or 0)) for name in names if name)


def _require_readable(path: Path, kind: int) -> None:
    if not os.access(path, kind):
        raise PermissionError(f"{path} may not be read; give this user the permission to read it.")


def _name(position: Position) -> str:
    return f"epoch-{position.epoch}" + (f"-step-{position.step}" if position.step else "")
