"""A time budget of training: when the time is up, training ends, and the learning rate has reached its last value."""

import time
from typing import Any

import keras


class TimeIsUpError(Exception):
    """The time budget is used up."""


class Budget(keras.callbacks.Callback):
    """Ends training after the step in which the time is up; the clock starts when it is constructed.

    Must come after `Checkpoints`, which must know how far training has come.

    Args:
        seconds: of the whole run, above 0.
        spent: seconds that earlier parts of the run took.
    """

    def __init__(self, seconds: float, spent: float = 0.0):
        super().__init__()
        self.seconds = seconds
        self._began = time.monotonic() - spent

    @property
    def seconds_left(self) -> float:
        """What is left of the time, at least 0."""
        return max(0.0, self.seconds - (time.monotonic() - self._began))

    @property
    def share_spent(self) -> float:
        """The share of the time that is spent, in [0, 1]."""
        return 1 - self.seconds_left / self.seconds

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Ends training if the time is up.

        Raises:
            TimeIsUpError: it is.
        """
        if not self.seconds_left:
            raise TimeIsUpError
