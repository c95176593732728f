"""Keeps figures as data: appends the runs below a folder to a CSV, `python -m tests.benchmarks.record FOLDER …`.

A row is what one protocol says of one run. A run that is in the file already is not added again: a sweep can be
recorded after every part of it, and the machine that it ran on need not be kept. `python -m tests.benchmarks.tables`
writes the tables from the file.
"""

import argparse
import datetime
import json
import platform
from pathlib import Path

import pandas as pd

from agad_tf.config.choices import WHERE_AND_HOW
from agad_tf.config.experiment import DEFAULTS

RESULTS = Path(__file__).with_name("results") / "measured.csv"
SETTINGS = (
    "dataset",
    "normal_class",
    "gamma",
    "generator",
    "method",
    "seed",
    "epochs",
    "learning_rate_schedule",
    "width",
)
# Which rows are of the same run and protocol.
KEY = ("commit", "command", *SETTINGS, "variant", "protocol")
COLUMNS = (
    *("commit", "date", "processor", "command", "experiment", "dataset", "normal_class", "gamma", "generator"),
    *("method", "variant", "seed", "epochs", "learning_rate_schedule", "width", "precision", "score", "protocol"),
    *("auroc", "auroc_low", "auroc_high", "deviation", "last_epoch_auroc", "epoch", "seconds"),
    *("metric", "value", "unit", "note"),
)
# Options that have a column or do not change what is computed.
NO_VARIANT = {*SETTINGS, *WHERE_AND_HOW, "mixed_precision", "jit_compile"}


def main(arguments: list[str] | None = None) -> None:
    """Adds rows, and prints how many."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="that runs lie below, at any depth")
    parser.add_argument("--commit", required=True, help="that the runs were made at")
    parser.add_argument("--command", required=True, help="that made them")
    parser.add_argument("--note", default="", help="what a reader must know, such as that half of the set was used")
    parser.add_argument("--dataset", help="name of the set, where the runs' own is npz or folder")
    parser.add_argument(
        "--experiment", default="", help="the table that the runs belong to; default: by their settings"
    )
    parser.add_argument("--csv", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    rows = pd.DataFrame(
        [
            row
            for path in sorted(options.folder.rglob("results.json"))
            for row in rows_of(json.loads(path.read_text()), path, options.commit, options.command, options.note)
        ]
    )
    rows = rows.assign(experiment=options.experiment).reindex(columns=COLUMNS, fill_value="")
    if options.dataset:
        rows = rows.assign(dataset=options.dataset)
    known = pd.read_csv(options.csv, dtype=str, keep_default_na=False) if options.csv.exists() else pd.DataFrame()
    merged = pd.concat([known, rows.astype(str)], ignore_index=True)
    # A row that is in the file stays, whatever it has in common with others.
    merged = merged[~merged.duplicated(list(KEY)) | (merged.index < len(known))]
    options.csv.parent.mkdir(parents=True, exist_ok=True)
    merged.to_csv(options.csv, index=False, lineterminator="\n")
    print(f"{len(merged) - len(known)} rows added to {options.csv}.")


def rows_of(results: dict, path: Path, commit: str, command: str, note: str) -> list[dict]:
    """A row for each protocol of a run; AUROC in %, with its 95 % interval."""
    finished = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.timezone.utc).date()
    return [
        {
            "commit": commit,
            "date": finished.isoformat(),
            "processor": processor(),
            "command": command,
            **{name: results[name] for name in SETTINGS},
            "variant": variant(results),
            "precision": results["mixed_precision"],
            "protocol": protocol,
            **{name: percent(figures[name]) for name in ("auroc", "auroc_low", "auroc_high")},
            "last_epoch_auroc": percent(figures.get("last_epoch_auroc")),
            "epoch": figures["epoch"],
            "seconds": results["seconds"],
            "note": note,
        }
        for protocol, figures in results["protocols"].items()
    ]


def variant(results: dict) -> str:
    """The options without a column that are not at their defaults, as flags."""
    given = {name: results[name] for name in DEFAULTS if name not in NO_VARIANT and results.get(name) is not None}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    texts = {name: ",".join(map(str, value)) if isinstance(value, tuple) else value for name, value in given.items()}
    return " ".join(f"--{name}={texts[name]}" for name in given if given[name] != DEFAULTS[name])


def percent(fraction: float | None) -> str:
    """A fraction in %, to two decimals; empty if there is none."""
    return "" if fraction is None else f"{100 * fraction:.2f}"


def processor() -> str:
    """The processor's name, and the instructions that decide how fast it is here."""
    try:
        lines = dict(
            line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if line.count(":") == 1
        )
        fields = {name.strip(): value.strip() for name, value in lines.items()}
    except OSError:
        return platform.processor()
    found = [
        name for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16") if name in fields.get("flags", "").split()
    ]
    return f"{fields.get('model name', platform.processor())} ({' '.join(found)})"


if __name__ == "__main__":
    main()
