"""Registers the classes of this package with Keras, in either order of imports.

So `keras.models.load_model` needs only `import agad_tf`, and `--help` does not import Keras.

Keras' image format, floatx, epsilon and limits on `fit` are set to Keras' defaults for the whole process, with a
warning if the user's `~/.keras/keras.json` or environment has other values.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from agad_tf.config.errors import BackendError, KerasSettingsError, LegacyKerasError

_BACKEND = "tensorflow"
# Settings of Keras that this package needs. A user's ~/.keras/keras.json or environment may have others; with a limit
# on epochs or steps, a run would never finish.
_SETTINGS: dict[str, Any] = {
    **{"image_data_format": "channels_last", "floatx": "float32", "epsilon": 1e-7},
    **{"max_epochs": None, "max_steps_per_epoch": None},
}
# Importing these registers every class that a `.keras` file of this package can hold.
_MODULES = ("agad_tf.models.ganomaly", "agad_tf.models.skip_ganomaly")


def register_with_keras() -> None:
    """Registers the classes now if Keras is loaded, or as soon as it is imported.

    Raises:
        BackendError: Keras is loaded with another backend.
    """
    if "keras" in sys.modules:
        _look_at(sys.modules["keras"])
    elif not any(isinstance(finder, _KerasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _KerasFinder())


def register_classes() -> None:
    """Registers the classes; imports Keras."""
    for module in _MODULES:
        import_module(module)


def _backend_asked_for() -> str:
    """The backend in the environment or the user's file; Keras itself fails if it is not installed."""
    if backend := os.environ.get("KERAS_BACKEND"):
        return backend
    try:
        settings = json.loads(_users_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return _BACKEND
    return settings.get("backend", _BACKEND) if isinstance(settings, dict) else _BACKEND


def _users_file() -> Path:
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"


def _look_at(keras: Any) -> None:
    if keras.config.backend() != _BACKEND:
        raise BackendError(keras.config.backend())
    for name, value in _SETTINGS.items():
        # Earlier versions of Keras have no limits.
        if hasattr(keras.config, name) and (found := getattr(keras.config, name)()) != value:
            warnings.warn(f"agad_tf changes Keras' {name} from {found} to {value}.", stacklevel=2)
            getattr(keras.config, f"set_{name}")(value)
    # Rooms import Keras first, so none of their modules is partly imported at this point.
    register_classes()


class _KerasFinder(importlib.abc.MetaPathFinder):
    """An import hook that registers the classes after Keras is imported."""

    def __init__(self) -> None:
        self.searching = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Returns Keras' own specification, with a loader that registers; None for all other modules."""
        if fullname != "keras" or self.searching:
            return None
        self.searching = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self.searching = False
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            if (backend := _backend_asked_for()) != _BACKEND:
                raise BackendError(backend)
            # As TensorFlow reads it.
            if os.environ.get("TF_USE_LEGACY_KERAS") in ("true", "True", "1"):
                raise LegacyKerasError
            sys.meta_path.remove(self)
            try:
                execute(module)
            except Exception as error:
                # Keras asserts its settings, or raises other exceptions.
                if not _users_file().is_file():
                    raise
                raise KerasSettingsError(str(_users_file()), f"{type(error).__name__}: {error}".rstrip(": ")) from error
            _look_at(module)

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec
