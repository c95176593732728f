"""Checkpoints: all state that a run needs to continue exactly, also in the middle of an epoch."""

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
# In seconds. In longer epochs, at most this much training is lost in a crash.
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
    """Saves the state of a run after every epoch, and within long epochs; restores the newest undamaged checkpoint.

    Must come after the callbacks that write: when an epoch is saved, its other files are on disk. A file is written
        under another name, flushed to disk and then renamed; TensorFlow keeps a checksum of every tensor, and of the
        index.

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
        # TensorFlow finds the variables of networks and optimizers, but not those of the Keras model itself.
        names = [f"{name}{kind}" for kind in ("", "_optimizer") for name in ("generator", "discriminator", "segmenter")]
        found = {name: getattr(model, name, None) for name in names}
        networks = tf.train.Checkpoint(**{name: part for name, part in found.items() if part is not None})
        between_epochs = {"model": networks, "epochs_done": self.epochs_done, "seconds": self.seconds}
        # The layout of versions before 0.5.
        self._between_epochs = tf.train.Checkpoint(**between_epochs)
        # The optimizers save the variables that they train; these are the rest, for a network that shares weights.
        averages = model.ema_generator.variables if model.ema_generator is not None else []
        untrained = [variable for variable in model.auxiliary_variables if not variable.trainable]
        anywhere = {
            **between_epochs,
            "steps_done": self.steps_done,
            "learning_rate_scale": self.learning_rate_scale,
            "metrics": self._metrics,
            "scoring": [variable.value for variable in (*averages, *model.score_statistics)],
        }
        # The layout of versions before 0.7.
        self._without_untrained = tf.train.Checkpoint(**anywhere)
        self._anywhere = tf.train.Checkpoint(**anywhere, untrained=[variable.value for variable in untrained])
        # One graph for all checkpoints: each one that is written eagerly leaks some KiB.
        self._write = tf.function(self._write_anew, autograph=False)
        # All workers must save at the same step, but clocks and signals do not reach them at the same step.
        self.saves_within_epochs = not isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)
        self._saved: Position | None = None
        self._counted_until = self._saved_at = time.monotonic()

    @CLOCK.within("checkpoints")
    def restore(self, directory: Path) -> Position:
        """Restores the newest undamaged checkpoint.

        Returns:
            How far the run had come; the beginning if there is no checkpoint.

        Raises:
            RunError: there are checkpoints, but none can be read.
            PermissionError: this user may not read them.
        """
        if directory.exists():
            _require_readable(directory, os.R_OK | os.X_OK)
        found = saved_positions(directory)
        for position in reversed(found):
            prefix = str(directory / _name(position))
            for file in directory.glob(f"{_name(position)}.*"):
                # TensorFlow reports an index without read permission as damaged.
                _require_readable(file, os.R_OK)
            try:
                self._restore(prefix)
            except tf.errors.PermissionDeniedError as error:
                raise PermissionError(f"No permission to read {prefix}; give it to this user.") from error
            # A file that is too short raises IndexError, and an invalid index raises ValueError.
            except (tf.errors.OpError, AssertionError, ValueError, IndexError):
                tqdm.write(f"agad_tf: the checkpoint {prefix} is damaged and is skipped.", file=sys.stderr)
            else:
                return self.position
        if found:
            raise RunError(
                f"All checkpoints in {directory} are damaged, or do not fit the settings of the model; keep the folder "
                "and find out what has changed, or train again in another --workdir."
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
        """Saves the state of the run, between two steps."""
        now = time.monotonic()
        # As arrays: TensorFlow never frees Python numbers that it has converted to tensors.
        self.seconds.assign_add(np.array(now - self._counted_until))
        self._counted_until = self._saved_at = now
        if self.position == self._saved:
            return
        self.epochs_done.assign(np.array(self.position.epoch))
        self.steps_done.assign(np.array(self.position.step))
        try:
            self._write()
            # The index is written last, so a checkpoint with an index has all of its data.
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
        # On the device of the variables: whatever a graph places elsewhere goes into a separate file.
        with tf.device(self.steps_done.device):
            self._anywhere.write(str(self.directory / "partial"))

    def _remove(self, position: Position) -> None:
        # The index is removed first, so that an interrupted removal does not leave a checkpoint.
        for file in sorted(self.directory.glob(f"{_name(position)}.*"), reverse=True):
            file.unlink()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts the clock; restores the metrics of an interrupted epoch."""
        self._counted_until = time.monotonic()
        self._first_step = self.position.step
        for variable, value in zip(self._metrics, self._metric_values, strict=False):
            variable.assign(value)
        self._metric_values = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Counts steps, and saves at intervals."""
        self.position = Position(self.position.epoch, self._first_step + batch + 1)
        if self.saves_within_epochs and time.monotonic() - self._saved_at > SAVE_SECONDS:
            self.save()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Saves."""
        self.position = Position(epoch + 1)
        self.save()


def saved_positions(directory: Path) -> list[Position]:
    """The positions of all checkpoints of a directory, the newest last, damaged ones included."""
    names = (_NAME.fullmatch(file.name) for file in directory.glob("epoch-*.index"))
    return sorted(Position(int(name[1]), int(name[2] or 0)) for name in names if name)


def _require_readable(path: Path, kind: int) -> None:
    if not os.access(path, kind):
        raise PermissionError(f"No permission to read {path}; give it to this user.")


def _name(position: Position) -> str:
    return f"epoch-{position.epoch}" + (f"-step-{position.step}" if position.step else "")
