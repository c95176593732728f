"""Errors that end a command with one sentence."""


class UsageError(ValueError):
    """A wrong option or argument; the message says what is wrong and what to do. Exit code 2."""


class RunError(Exception):
    """A run that cannot continue; the message says what is wrong and what to do. Exit code 1."""


class LegacyKerasError(UsageError, ImportError):
    """TensorFlow is set to use Keras 2."""

    def __init__(self) -> None:
        super().__init__(
            "agad_tf needs Keras 3, but the environment variable TF_USE_LEGACY_KERAS asks for Keras 2; unset it before "
            "Python starts."
        )


class BackendError(UsageError, ImportError):
    """Keras has a backend other than TensorFlow."""

    def __init__(self, backend: str):
        super().__init__(
            f"agad_tf needs Keras with its TensorFlow backend, but the backend is {backend}; set the environment "
            "variable KERAS_BACKEND=tensorflow before Python starts."
        )


class KerasSettingsError(UsageError, ImportError):
    """Keras cannot be imported with the settings in the user's file."""

    def __init__(self, path: str, reason: object):
        super().__init__(
            f"Keras cannot be imported with the settings in {path} ({reason}); correct that file, or set the "
            f"environment "
            "variable KERAS_HOME to a folder without one before Python starts."
        )
