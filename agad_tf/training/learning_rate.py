"""The learning rate of both networks, epoch by epoch."""

import math
from collections.abc import Callable
from typing import Any

import keras

# What is left of the learning rate when a share of the epochs is done. The names are those of
# `agad_tf.config.choices.LEARNING_RATE_SCHEDULES`.
_SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "cubic": lambda done: (1 - done) ** 3,
    "sextic": lambda done: (1 - done) ** 6,
}


class LearningRate(keras.callbacks.Callback):
    """Sets the learning rate of all optimizers at the beginning of every epoch.

    Not one of Keras' schedules: they count an optimizer's own steps, and a discriminator with new weights starts to
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
        for name in ("generator", "discriminator", "segmenter"):
            if (optimizer := getattr(self.model, f"{name}_optimizer", None)) is not None:
                optimizer.learning_rate = learning_rate
