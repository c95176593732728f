"""What is told of a run: results.json, scores.csv, and the table on the terminal."""

import csv
import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from rich.console import Console
from rich.table import Table

from agad_tf.config.experiment import RunError
from agad_tf.data.splits import Split

SCHEMA_VERSION = 2
_REQUIRED = ("dataset", "normal_class", "gamma", "generator", "seed", "channels", "method", "protocols")
FIGURES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "fpr_at_95_tpr": "false positives at 95 % true",
    "f1": "best F1",
}
_NOTES = {
    "per_image": "the result\n\nlast epoch, {epoch}",
    "family_shuffled": "no result:\nthe batch decides\nlast epoch, {epoch}",
    "family": "no result:\nlabels leak\nepoch best on test, {epoch}",
}
_LOCALIZATION = {"pixel_auroc": "AUROC of pixels", "pro": "per-region overlap"}
_PARTS = {"auroc_seen": "  against labelled classes", "auroc_unseen": "  against other classes"}


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


def write_whole(path: Path, write: Callable[[TextIO], Any]) -> None:
    """Writes a text file beside its place and then puts it there, so that no half-written one is ever seen."""
    beside = path.with_name(path.name + ".partial")
    # Names of files need not be UTF-8.
    with beside.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def print_table(results: dict[str, Any]) -> None:
    """Prints the figures of every protocol, in %, what is no result marked as such, and the detector's threshold."""
    what = results["generator"] if results["method"] == "agad" else results["method"]
    table = Table(
        title=f"{results['dataset']}, normal class {results['normal_class']}, γ = {results['gamma']:g}, "
        f"{what}, seed {results['seed']}"
    )
    table.add_column("in %")
    for name in results["protocols"]:
        epoch = results["protocols"][name]["epoch"]
        note = "the result" if epoch is None else _NOTES[name].format(epoch=epoch)
        table.add_column(f"{name}\n{note}", justify="right")
    for title, texts in _table_rows(results["protocols"]):
        table.add_row(title, *texts)
    Console().print(table)
    detector = results["detector"]
    print(
        f"The detector flags scores from {detector['threshold']:.4g} on ({detector['threshold_source']}): of the test "
        f"images {100 * detector['false_positive_rate']:.1f} % of the normal and "
        f"{100 * detector['true_positive_rate']:.1f} % of the abnormal ones."
    )
    for warning in results.get("warnings", []):
        print(f"Warning: {warning}")


def _table_rows(protocols: dict[str, dict[str, float]]) -> Iterator[tuple[str, list[str]]]:
    for key, title in FIGURES.items():
        yield title, [f"{100 * figures[key]:.1f}" for figures in protocols.values()]
        if key == "auroc":
            intervals = [(figures["auroc_low"], figures["auroc_high"]) for figures in protocols.values()]
            yield "  95 % interval", [f"{100 * low:.1f} – {100 * high:.1f}" for low, high in intervals]
            for part, part_title in _PARTS.items():
                if part in protocols["per_image"]:
                    yield part_title, _where_given(part, protocols)
    for key, title in _LOCALIZATION.items():
        if key in protocols["per_image"]:
            yield title, _where_given(key, protocols)


def _where_given(key: str, protocols: dict[str, dict[str, float]]) -> list[str]:
    return [f"{100 * figures[key]:.1f}" if key in figures else "" for figures in protocols.values()]
