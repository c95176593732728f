"""The files that hold the figures of a run: results.json, scores.csv and validation_scores.csv."""

import csv
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from agad_tf.config.choices import EARLIER_NAMES
from agad_tf.config.errors import RunError
from agad_tf.data.sources import Source
from agad_tf.data.splits import Split
from agad_tf.evaluation.measurement import Measurement
from agad_tf.evaluation.scorer import PROTOCOLS
from agad_tf.evaluation.thresholds import FEW_ANOMALIES, FEW_NORMALS, Decision
from agad_tf.files.whole_files import write_whole

SCHEMA_VERSION = 3
# The first schema version with the detector's threshold and probability.
WITH_DECISION = 2
# Names of figures before version 3; they sounded like figures at the detector's own threshold.
_EARLIER_FIGURES = {"f1": "oracle_f1", "threshold": "oracle_threshold"}
_REQUIRED = ("dataset", "normal_class", "gamma", "generator", "seed", "channels", "method", "protocols")
SCORE_COLUMNS = ("image_id", "label", "anomaly_score")
AT_THRESHOLD = {"f1": "F1", "precision": "precision", "recall": "recall", "false_positive_rate": "false positive rate"}
ORACLE = "The oracle F1 is the highest over all thresholds, chosen by the test labels; no detector can know it."
NO_ANOMALIES = "No anomalies in the test set: AUROC cannot be measured."
FIGURES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "fpr_at_95_tpr": "false positive rate at 95 % recall",
    "oracle_f1": "oracle F1",
}


def versions() -> dict[str, str]:
    """Versions of the packages that the figures depend on."""
    packages = ("agad_tf", "tensorflow", "keras", "numpy", "scikit-learn")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}


def results_of(
    settings: Mapping[str, Any],
    source: Source,
    measured: Measurement,
    seconds: float,
    warnings: Iterable[str] = (),
    epochs_trained: float | None = None,
) -> dict[str, Any]:
    """Puts together the content of results.json.

    Without anomalies in the test set, "per_image" is the only protocol, and "auroc" and all other figures that need
    anomalies are None (null in JSON), there and in "detector", which has the figures at the detector's threshold.

    Args:
        settings: of the experiment, None for each that its method does not read.
        source: the data set.
        measured: the figures.
        seconds: spent on training.
        warnings: what a user should know before trusting the detector, each a sentence.
        epochs_trained: steps taken, in epochs: fewer than "epochs" where a time budget ended training or steps were
            left out; None for a baseline.

    Returns:
        The content of results.json, without its schema version.
    """
    detector = {**measured.decision._asdict(), **measured.threshold_basis, **measured.at_threshold}
    results = {
        **settings,
        "data_origin": source.origin,
        "channels": source.channels,
        "image_height": source.image_size[0],
        "image_width": source.image_size[1],
        "versions": versions(),
        "seconds": round(seconds, 1),
        "epochs_trained": None if epochs_trained is None else round(epochs_trained, 2),
        "detector": detector,
        "warnings": [*warnings, *_threshold_warnings(detector)],
        "protocols": {
            name: {**figures, "labels_leak": PROTOCOLS[name]} for name, figures in measured.protocols.items()
        },
    }
    return results if measured.error_map_scale is None else {**results, "error_map_scale": measured.error_map_scale}


def threshold_uncertainty(detector: Mapping[str, Any]) -> str:
    """How many normal images a detector will flag, as far as the validation images tell, in a sentence.

    Args:
        detector: of results.json.

    Returns:
        The sentence; empty if this is unknown, or an earlier version wrote the run.
    """
    if detector.get("expected_flagged_low") is None:
        return ""
    low, high = (100 * detector[f"expected_flagged_{end}"] for end in ("low", "high"))
    share = f"between {low:.1f} % and {high:.1f} % of normal images will be flagged (95 % interval)"
    normals = detector["threshold_normals"]
    if normals is None:
        return f"Judging by the normal validation images, {share}."
    few = "; with so few, " if normals < FEW_NORMALS else ": "
    return f"The threshold rests on {normals} normal validation image{'s' * (normals != 1)}{few}{share}."


def _threshold_warnings(detector: Mapping[str, Any]) -> list[str]:
    normals, anomalies = detector["threshold_normals"], detector["threshold_anomalies"]
    if normals is not None and normals < FEW_NORMALS:
        return [
            f"{threshold_uncertainty(detector)} Add normal images, or raise --validation_fraction in another --workdir."
        ]
    if anomalies is not None and anomalies < FEW_ANOMALIES:
        verb = "is" if anomalies == 1 else "are"
        return [
            f"The threshold has the best F1 on validation images of which only {anomalies} {verb} abnormal, so it is "
            "uncertain. To choose it from normal images alone: --mode=evaluate --threshold=quantile=0.99."
        ]
    return []


def has_test_anomalies(results: Mapping[str, Any]) -> bool:
    """Whether the test set of a run had anomalies, so that AUROC could be measured.

    Args:
        results: the content of results.json.
    """
    return results["protocols"]["per_image"]["auroc"] is not None


def decision_of(results: Mapping[str, Any]) -> Decision:
    """The threshold and probability of a run's detector.

    Args:
        results: the content of results.json.
    """
    return Decision(**{name: results["detector"][name] for name in Decision._fields})


def write_results(path: Path, results: dict[str, Any]) -> None:
    """Writes results.json.

    Args:
        path: of the file.
        results: its content, see `results_of`.
    """
    write_whole(
        path,
        lambda file: file.write(json.dumps({"schema_version": SCHEMA_VERSION, **results}, indent=2) + "\n"),
    )


def read_results(path: Path, oldest: int = WITH_DECISION) -> dict[str, Any]:
    """Reads results.json.

    Args:
        path: of the file.
        oldest: lowest schema version that is accepted; 1 has the figures, but not the detector's decision.

    Raises:
        RunError: it is missing, damaged, too old, or of a newer version of this package.
        PermissionError: it may not be read.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        schema_version = int(results["schema_version"])
    except PermissionError:
        raise
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); finish the run with --mode=train.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged; measure the run again with --mode=evaluate.") from error
    if schema_version > SCHEMA_VERSION:
        raise RunError(f"{path} has schema version {schema_version}, newer than {SCHEMA_VERSION}; update agad_tf.")
    if schema_version < oldest:
        raise RunError(f"{path} comes from an earlier version; measure the run again with --mode=evaluate.")
    for name, earlier in EARLIER_NAMES.items():
        if earlier in results:
            results[name] = results.pop(earlier)
    missing = [key for key in _REQUIRED if key not in results]
    if missing:
        raise RunError(f"{path} is damaged (no {missing[0]}); measure the run again with --mode=evaluate.")
    if schema_version < SCHEMA_VERSION:
        for figures in results["protocols"].values():
            figures |= {name: figures.pop(old) for old, name in _EARLIER_FIGURES.items() if old in figures}
    return results


def write_scores(path: Path, split: Split, scores: np.ndarray, names: Sequence[str] = ()) -> None:
    """Writes a table of scores: a line for each image with its name, or with its position in the set if it has none.

    Args:
        path: of the file.
        split: the images.
        scores: float (images,), higher is more abnormal.
        names: of the images by position in their set; empty means none.
    """
    ids = [names[row] for row in split.ids] if names else split.ids.tolist()

    def write(file: TextIO) -> None:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SCORE_COLUMNS)
        # The repr of a float32 as a Python float is exact, so equal files mean equal scores.
        writer.writerows(zip(ids, split.labels.tolist(), scores.tolist(), strict=True))

    write_whole(path, write)


def read_scores(path: Path) -> pd.DataFrame:
    """Reads a table that `write_scores` has written.

    Args:
        path: of the file.

    Returns:
        The columns image_id (str), label (int, 0 normal, 1 abnormal) and anomaly_score (float).

    Raises:
        RunError: it is missing or damaged.
        PermissionError: it may not be read.
    """
    types = dict(zip(SCORE_COLUMNS, (str, int, float), strict=True))
    try:
        return pd.read_csv(
            path, usecols=list(types), dtype=types, keep_default_na=False, encoding_errors="backslashreplace"
        )
    except PermissionError:
        raise
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is missing or damaged; measure the run again with --mode=evaluate.") from error
