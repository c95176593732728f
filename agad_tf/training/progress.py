"""The progress bar of training."""

from typing import Any

import keras
from tqdm import tqdm

from agad_tf.training.budget import Budget


class Progress(keras.callbacks.Callback):
    """A bar over the steps of the whole run, and a line for each epoch; a context manager that always closes the bar.

    Args:
        steps_per_epoch: batches in an epoch.
        epochs: of the whole run.
        first_step: steps that are done already, of all epochs.
        budget: of the whole run; the bar shows the time that is left. None shows nothing.
    """

    SHOWN = (
        "generator_loss",
        "contextual_loss",
        "discriminator_loss",
        "validation_score",
        "validation_auroc",
        "validation_synthetic_auroc",
    )

    def __init__(self, steps_per_epoch: int, epochs: int, first_step: int = 0, budget: Budget | None = None):
        super().__init__()
        self.epochs = epochs
        self.budget = budget
        self.steps_shown = 0
        self.bar = tqdm(
            total=steps_per_epoch * epochs,
            initial=first_step,
            desc="training",
            unit="step",
            disable=None,
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        # Otherwise it would be drawn again below an error message.
        self.bar.close()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Moves the bar; `batch` is the last of the steps in one execution."""
        if self.budget is not None:
            left = tqdm.format_interval(self.budget.seconds_left)
            self.bar.set_postfix_str(f"{left} of the budget left", refresh=False)
        self.bar.update(batch + 1 - self.steps_shown)
        self.steps_shown = batch + 1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Counts the epoch's steps from 0."""
        self.steps_shown = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Prints the figures of the epoch."""
        shown = "  ".join(f"{name} {logs[name]:.4g}" for name in self.SHOWN if name in logs)
        self.bar.write(f"epoch {epoch + 1}/{self.epochs}  {shown}")
