"""The learning rate of both networks, epoch by epoch."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from agad_tf.training.budget import Budget

# The factor of the learning rate when a share of the epochs is done. The names are those of
# `agad_tf.config.choices.LEARNING_RATE_SCHEDULES`.
_SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "cubic": lambda done: (1 - done) ** 3,
    "sextic": lambda done: (1 - done) ** 6,
}


class LearningRate(keras.callbacks.Callback):
    """Sets the learning rate of all optimizers at the beginning of every epoch, or of every step with a time budget.

    Keras' schedules are not used, because they count an optimizer's steps, and a discriminator with new weights starts
    again from 0.

    Args:
        learning_rate: of the first epoch.
        schedule: "constant"; "cosine": along half a cosine, to reach 0 after the last epoch; or "cubic" and
            "sextic": as the third and the sixth power of the share of epochs that are left.
        epochs: of the whole run.
        budget: of the whole run, which ends the schedule if it ends before the last epoch; None means no limit.
    """

    def __init__(self, learning_rate: float, schedule: str, epochs: int, budget: Budget | None = None):
        super().__init__()
        self.initial_learning_rate = learning_rate
        self.schedule = schedule
        self.epochs = epochs
        self.budget = budget
        self.epochs_done = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Sets the epoch's learning rate."""
        self.epochs_done = epoch
        self._set(epoch / self.epochs)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Sets the step's learning rate, if there is a time budget."""
        if self.budget is not None:
            self._set(max(self.epochs_done / self.epochs, self.budget.share_spent))

    def _set(self, done: float) -> None:
        # As an array: TensorFlow never frees Python numbers that it has converted to tensors.
        learning_rate = np.array(self.initial_learning_rate * _SCHEDULES[self.schedule](done), np.float32)
        for name in ("generator", "discriminator", "segmenter"):
            if (optimizer := getattr(self.model, f"{name}_optimizer", None)) is not None:
                optimizer.learning_rate = learning_rate
