"""Keras' limits for trying programs out, which would cut training short."""

import keras

from agad_tf.config.errors import UsageError


def require_no_limits() -> None:
    """Checks that Keras does not limit the epochs or the steps of `fit`.

    Raises:
        UsageError: it does, by an environment variable or by `keras.config`.
    """
    for name in ("max_epochs", "max_steps_per_epoch"):
        if (limit := getattr(keras.config, name)()) is not None:
            raise UsageError(
                f"Keras stops training at {name}={limit}; unset KERAS_{name.upper()}, or call "
                f"keras.config.set_{name}(None)."
            )
