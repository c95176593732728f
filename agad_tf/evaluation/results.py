"""What is told of a run: results.json, scores.csv, and the table on the terminal."""

import csv
import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from agad_tf.config.errors import RunError
from agad_tf.data.splits import Split
from agad_tf.files.whole_files import write_whole

SCHEMA_VERSION = 2
_REQUIRED = ("dataset", "normal_class", "gamma", "generator", "seed", "channels", "method", "protocols")
FIGURES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "fpr_at_95_tpr": "false positives at 95 % true",
    "f1": "best F1",
}


def versions() -> dict[str, str]:
    """Versions of what the figures depend on."""
    packages = ("agad_tf", "tensorflow", "keras", "numpy", "scikit-learn")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}


def write_results(path: Path, results: dict[str, Any]) -> None:
    """Writes results.json."""
    write_whole(
        path,
        lambda file: file.write(json.dumps({"schema_version": SCHEMA_VERSION, **results}, indent=2) + "\n"),
    )


def read_results(path: Path, oldest: int = SCHEMA_VERSION) -> dict[str, Any]:
    """Reads results.json.

    Args:
        path: of the file.
        oldest: schema version that will do; 1 has the figures, but not how the detector judges scores.

    Raises:
        RunError: it is missing, damaged, too old, or of a newer version of this package.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        schema_version = int(results["schema_version"])
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); finish the run with --mode=train.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged; measure the run again with --mode=evaluate.") from error
    if schema_version > SCHEMA_VERSION:
        raise RunError(f"{path} has schema version {schema_version}, newer than {SCHEMA_VERSION}; update agad_tf.")
    if schema_version < oldest:
        raise RunError(f"{path} was written by an earlier version; measure the run again with --mode=evaluate.")
    missing = [key for key in _REQUIRED if key not in results]
    if missing:
        raise RunError(f"{path} is damaged (no {missing[0]}); measure the run again with --mode=evaluate.")
    return results


def write_scores(path: Path, test: Split, scores: np.ndarray, names: Sequence[str] = ()) -> None:
    """Writes scores.csv: of every test image its name or else its position in the test set, label and score."""
    ids = [names[row] for row in test.ids] if names else test.ids.tolist()

    def write(file: TextIO) -> None:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image_id", "label", "anomaly_score"])
        # repr of a float32 as Python float is exact: equal files mean equal scores.
        writer.writerows(zip(ids, test.labels.tolist(), scores.tolist(), strict=True))

    write_whole(path, write)
