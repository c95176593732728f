"""The end of training whose losses or scores are not finite."""

from typing import Any

import keras


class DivergedError(Exception):
    """Losses or scores are no longer numbers; the message says which, and when."""


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
