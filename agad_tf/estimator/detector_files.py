"""The files of a saved `AGADDetector`: model.keras and detector.json."""

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import keras

from agad_tf.estimator.random_state import random_state_kept
from agad_tf.files.whole_files import write_whole
from agad_tf.models.agad import AGAD

# The place of the model in pickles of versions up to 0.6.
MOVED = {"agad_tf.model": "agad_tf.models.agad"}


def write_detector(folder: Path, model: AGAD, facts: dict[str, Any]) -> None:
    """Writes both files, each under a temporary name first.

    Args:
        folder: created if necessary.
        model: the fitted model.
        facts: all other state; numbers, texts, lists and dictionaries of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / "partial-model.keras"
    model.save(beside)
    beside.replace(folder / "model.keras")
    # For NumPy's numbers, which a grid search sets.
    text = json.dumps(facts, indent=1, default=lambda number: number.item())
    write_whole(folder / "detector.json", lambda file: file.write(text))


def read_detector(folder: Path) -> tuple[AGAD, dict[str, Any]]:
    """Reads a detector that `write_detector` has written; lists in inner dictionaries become tuples.

    Raises:
        OSError: a file does not exist or cannot be read.
        ValueError: a file is damaged.
    """
    facts_file, model_file = folder / "detector.json", folder / "model.keras"
    try:
        facts = json.loads(facts_file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{facts_file} is damaged ({error}); save the detector again.") from error
    for name, inner in facts.items():
        if isinstance(inner, dict):
            # JSON has lists, but no tuples.
            facts[name] = {key: tuple(value) if isinstance(value, list) else value for key, value in inner.items()}
    # Keras reports a damaged file as missing.
    if not zipfile.is_zipfile(model_file):
        model_file.open("rb").close()
        raise ValueError(f"{model_file} is damaged; save the detector again.")
    with random_state_kept():
        return keras.saving.load_model(model_file, safe_mode=True), facts


def unpickled(pickled: bytes) -> AGAD:
    """The model in a pickled detector, of this version or an earlier one."""
    return _Unpickler(io.BytesIO(pickled)).load()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(MOVED.get(module, module), name)
