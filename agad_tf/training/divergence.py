"""Ends training when losses or scores are no longer finite."""

from typing import Any

import keras


class DivergedError(Exception):
    """Losses or scores are not finite; the message says which, and when."""


class Divergence(keras.callbacks.Callback):
    """Ends training when `LIMIT` steps in a row had to be skipped.

    Must come after `Checkpoints`, which restores the count of an epoch's earlier steps.

    Args:
        steps_per_epoch: batches in an epoch.
    """

    LIMIT = 10

    def __init__(self, steps_per_epoch: int):
        super().__init__()
        self.window = min(self.LIMIT, steps_per_epoch)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Resets the count."""
        self._look(0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Checks several steps at once, because each check keeps an accelerator waiting.

        Raises:
            DivergedError: all of them were skipped.
        """
        taken, skipped = batch + 1 - self.steps, self.skipped
        if taken >= self.window:
            self._look(batch + 1)
            if self.skipped - skipped >= taken:
                raise DivergedError(f"the losses or gradients of {taken} steps in a row were not finite")

    def _look(self, steps: int) -> None:
        self.steps = steps
        self.skipped = float(self.model.skipped_steps.result())
