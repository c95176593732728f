"""The two ways a command ends where it cannot do what was asked."""


class UsageError(ValueError):
    """What the user asked for cannot be done; the message says what is wrong and what to do. Exit code 2."""


class RunError(Exception):
    """The run cannot go on with what it was given; the message says what is wrong and what to do. Exit code 1."""


class LegacyKerasError(UsageError, ImportError):
    """TensorFlow is to use Keras 2."""

    def __init__(self) -> None:
        super().__init__(
            "agad_tf needs Keras 3, and the environment variable TF_USE_LEGACY_KERAS asks for Keras 2; unset it before "
            "Python starts."
        )


class BackendError(UsageError, ImportError):
    """Keras has another backend than TensorFlow."""

    def __init__(self, backend: str):
        super().__init__(
            f"agad_tf needs Keras with its TensorFlow backend, and the backend is set to {backend}; set the "
            "environment variable KERAS_BACKEND=tensorflow before Python starts."
        )


class KerasSettingsError(UsageError, ImportError):
    """Keras cannot be imported with the settings in the user's file."""

    def __init__(self, path: str, reason: object):
        super().__init__(
            f"Keras cannot be imported with the settings in {path} ({reason}); mend that file, or set the environment "
            "variable KERAS_HOME to a folder without one before Python starts."
        )
