"""The folder for the scores of new images: tables that grow with each call, for one detector, and a summary."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from agad_tf.config.errors import UsageError
from agad_tf.evaluation.thresholds import Decision
from agad_tf.files.own_output import DETECTOR, SCORES
from agad_tf.files.whole_files import write_whole
from agad_tf.prediction.file_versions import VERSION_COLUMNS, Version
from agad_tf.prediction.resumable_csv import rewrite, rows_of

UNREADABLE, SUMMARY = "unreadable.csv", "summary.json"
COLUMNS = ("path", "score", "probability", "is_anomaly", *VERSION_COLUMNS)
UNREADABLE_COLUMNS = ("path", "complaint", *VERSION_COLUMNS)
# Number of images with the highest scores that the terminal lists.
NAMED = 3


def claim_for_detector(folder: Path, fingerprint: str, decision: Decision) -> None:
    """Makes the folder, and checks that it holds scores of this detector only.

    Args:
        folder: to write to.
        fingerprint: of the detector's content: a run that was moved or copied is the same detector.
        decision: how the detector judges scores.

    Raises:
        UsageError: the folder holds scores of another detector or threshold.
    """
    detector = {"fingerprint": fingerprint, **decision._asdict()}
    path = folder / DETECTOR
    if path.exists():
        found = _read_detector(path)
        # Earlier versions identified a detector by the folder of its run. Their rows do not identify versions of files,
        # so all images are scored again.
        found.setdefault("fingerprint", fingerprint)
        found.pop("workdir", None)
        if found != detector:
            raise UsageError(f"{folder} holds scores of another detector or threshold; give another --output.")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: file.write(json.dumps(detector, indent=2) + "\n"))


def _read_detector(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UsageError(f"{path} cannot be read; give another --output.")
    return found


def files_done(folder: Path, versions: Mapping[str, Version]) -> set[str]:
    """The files that earlier calls have scored or found unreadable, and that have not changed since.

    Rows of files that have been replaced are removed from the tables.

    Args:
        folder: that holds the tables.
        versions: of the files that are to be scored, by path.

    Returns:
        Paths of the files that need not be read again.
    """
    done: set[str] = set()
    for name, columns in ((SCORES, COLUMNS), (UNREADABLE, UNREADABLE_COLUMNS)):
        rows = rows_of(folder / name)
        current = [row for row in rows if not _is_stale(row, versions)]
        if len(current) < len(rows) or any(set(row) != set(columns) for row in rows[:1]):
            rewrite(folder / name, columns, current)
        done.update(row["path"] for row in current)
    return done


def _is_stale(row: Mapping[str, str], versions: Mapping[str, Version]) -> bool:
    version = versions.get(row["path"])
    if version is None:
        # Images that this call does not ask for; in tables of earlier versions, a row may be of any version of a file.
        return row.get("bytes") is None
    if not version.bytes or "--max_megapixels" in row.get("complaint", ""):
        return True
    changed = version.rights_changed_ns if "complaint" in row else version.modified_ns
    return (row.get("bytes"), row.get(VERSION_COLUMNS[1])) != (version.bytes, changed)


def write_summary(folder: Path, count: int, seconds: float) -> None:
    """Writes summary.json, which covers all calls, and prints it.

    Args:
        folder: that holds the tables.
        count: files that this call has read.
        seconds: that it took.
    """
    columns = ["path", "score", "is_anomaly"]
    # Without rows, pandas would not know that scores are numbers.
    types = {"path": str, "score": float, "is_anomaly": int}
    scores = pd.read_csv(
        folder / SCORES, usecols=columns, dtype=types, keep_default_na=False, encoding_errors="backslashreplace"
    )
    summary: dict[str, Any] = {
        "scored": len(scores),
        "anomalies": int(scores["is_anomaly"].sum()),
        "unreadable": len(rows_of(folder / UNREADABLE)),
        "seconds": round(seconds, 1),
        "pictures_per_second": round(count / seconds, 1),
    }
    write_whole(folder / SUMMARY, lambda file: file.write(json.dumps(summary, indent=2) + "\n"))
    print(f"{summary['scored']} images scored, {summary['anomalies']} of them flagged; see {folder / SCORES}.")
    if summary["unreadable"]:
        files = "file" if summary["unreadable"] == 1 else "files"
        print(f"{summary['unreadable']} {files} could not be read; see {folder / UNREADABLE}.")
    for _, row in scores.nlargest(NAMED, "score").iterrows():
        print(f"  {row['score']:.4g}  {row['path']}")
