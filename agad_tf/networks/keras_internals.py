"""Every private name of Keras that this package uses, in one place.

tests/networks/test_keras_internals.py checks that the installed Keras has them, and that the package uses no others.
"""

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

PRIVATE_NAMES = ("_flatten_layers", "_distribute_strategy", "_maybe_symbolic_build", "_learning_rate")


def all_layers(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """Returns every layer of a network, including those of nested models and wrappers."""
    yield from network._flatten_layers(include_self=False)


def own_strategy(model: keras.Model) -> tf.distribute.Strategy | None:
    """Returns the strategy in whose scope a model was made, or None."""
    return model._distribute_strategy


def schedule_of(optimizer: keras.optimizers.Optimizer) -> Any:
    """Returns the learning rate schedule of an optimizer, or None if its learning rate is a number."""
    learning_rate = optimizer._learning_rate
    return learning_rate if isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule) else None


class BuiltByItsConstructor(keras.Model):
    """A model that needs no batch of data to be built.

    Before the first step, Keras calls a model on symbolic data, which fails with several workers.
    """

    def _maybe_symbolic_build(self, *_: Any, **__: Any) -> None:
        """Does nothing."""
