"""The folder that scores of new images are written to: one detector, tables that grow, and a summary."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from agad_tf.config.errors import UsageError
from agad_tf.evaluation.thresholds import Decision
from agad_tf.files.whole_files import write_whole
from agad_tf.prediction.resumable_csv import first_column

SCORES, UNREADABLE, SUMMARY, DETECTOR = "scores.csv", "unreadable.csv", "summary.json", "detector.json"
COLUMNS = ("path", "score", "probability", "is_anomaly")
# Images that the terminal names, those of the highest scores.
NAMED = 3


def claim_for_detector(folder: Path, run: Path, decision: Decision) -> None:
    """Makes the folder, and sees that it holds the scores of one detector alone.

    Args:
        folder: to write to.
        run: folder of the detector's run.
        decision: how the detector judges scores.

    Raises:
        UsageError: the folder holds scores of another detector or threshold.
    """
    detector = {"workdir": str(run.resolve()), **decision._asdict()}
    text = json.dumps(detector, indent=2) + "\n"
    path = folder / DETECTOR
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise UsageError(f"{folder} holds scores of another detector or threshold; give another --output.")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: file.write(text))


def files_done(folder: Path) -> set[str]:
    """Paths of the files that earlier calls have scored, or found to be unreadable."""
    return first_column(folder / SCORES) | first_column(folder / UNREADABLE)


def write_summary(folder: Path, count: int, seconds: float) -> None:
    """Writes summary.json, which counts over all calls, and prints it.

    Args:
        folder: that holds the tables.
        count: files that this call has read.
        seconds: that it took.
    """
    columns = ["path", "score", "is_anomaly"]
    scores = pd.read_csv(folder / SCORES, usecols=columns, encoding_errors="backslashreplace")
    summary: dict[str, Any] = {
        "scored": len(scores),
        "anomalies": int(scores["is_anomaly"].sum()),
        "unreadable": len(first_column(folder / UNREADABLE)),
        "seconds": round(seconds, 1),
        "pictures_per_second": round(count / seconds, 1),
    }
    write_whole(folder / SUMMARY, lambda file: file.write(json.dumps(summary, indent=2) + "\n"))
    print(f"{summary['scored']} pictures scored, {summary['anomalies']} of them flagged; see {folder / SCORES}.")
    if summary["unreadable"]:
        print(f"{summary['unreadable']} files cannot be read as pictures; see {folder / UNREADABLE}.")
    for _, row in scores.nlargest(NAMED, "score").iterrows():
        print(f"  {row['score']:.4g}  {row['path']}")
