"""Users' own images that are listed in a CSV."""

import os
from pathlib import Path

import pandas as pd

from agad_tf.config.errors import RunError, UsageError
from agad_tf.data.csv_files import listed_file, read_csv
from agad_tf.data.set_names import ONLY_CLASS, SPLITS

_COLUMNS = ("path", "label", "split", "mask")
# What tools write for missing values.
_NO_LABELS = ("", "nan", "<na>", "null", "#n/a")


def list_csv(path: Path) -> tuple[pd.DataFrame, str]:
    """The images that a CSV lists.

    Args:
        path: of the CSV.

    Returns:
        A row for each, with its file, name, label, split and mask, and a note for the user about how they were read.

    Raises:
        UsageError: columns are missing or values are wrong.
        RunError: it cannot be read, or files that it names are missing.
    """
    listed = read_csv(path)
    columns, note = set(listed.columns), ""
    # Another column might hold the labels under another name, so images do not count as normal then.
    if "path" in columns and columns <= {"path", "split"} and not listed.empty:
        listed["label"] = ONLY_CLASS
        note = f"{path} has no column label: all {len(listed)} images count as normal (class {ONLY_CLASS})."
    elif not {"path", "label"} <= columns or listed.empty:
        raise UsageError(
            f"{path} must have rows and the columns path and label; its columns are "
            f"{', '.join(listed.columns)}{', and it has no rows' if listed.empty else ''}. Rename its columns; for "
            "only normal images, the column path is enough."
        )
    # pandas gives this name to a column of row numbers.
    if others := sorted(name for name in columns - set(_COLUMNS) if not name.startswith("unnamed: ")):
        note = f"{note} {path} has columns that are not used: {', '.join(others)}.".strip()
    listed = listed.reindex(columns=list(_COLUMNS), fill_value="")
    _require_values(path, listed)
    unknown = sorted(set(listed["split"].str.lower()) - {"", *SPLITS})
    if unknown:
        raise UsageError(f"{path} has the split '{unknown[0]}'; write train, val or test.")
    listed["split"] = listed["split"].str.lower().replace(SPLITS)
    for column in ("path", "mask"):
        files = [listed_file(path.parent, name) if name else "" for name in listed[column]]
        missing = [row for row, file in enumerate(files) if file and not Path(file).is_file()]
        if missing:
            first = listed[column].iloc[missing[0]]
            raise RunError(
                f"{path} names {files[missing[0]]}, but there is no such file ({len(missing)} such rows); "
                f"{_where_it_is(path, first) or 'correct the CSV.'}"
            )
        listed["file" if column == "path" else "mask"] = files
    _require_one_label_each(path, listed)
    listed["mask"] = [(mask,) if mask else () for mask in listed["mask"]]
    return listed.rename(columns={"path": "name"}), note


def _where_it_is(path: Path, name: str) -> str:
    """A remedy if the paths of a list are relative to another folder; empty otherwise."""
    places = (*path.absolute().parents[1:], *sorted(each for each in path.parent.glob("*/") if each.is_dir()))
    found = next((place for place in places if Path(listed_file(place, name)).is_file()), None)
    return f"it is in {found}: move the CSV there." if found else ""


def _require_values(path: Path, listed: pd.DataFrame) -> None:
    if len(nowhere := listed.index[listed["path"] == ""]):
        raise UsageError(
            f"{path} has {len(nowhere)} rows without a path, the first with the label '{listed['label'][nowhere[0]]}'; "
            "fill them in or remove them."
        )
    unlabelled = listed["path"][listed["label"].str.lower().isin(_NO_LABELS)]
    if len(unlabelled):
        raise UsageError(
            f"{path} has no label for {len(unlabelled)} of {len(listed)} images, such as {unlabelled.iloc[0]}; fill "
            "them in or remove those rows. If all images are normal, leave the column label out."
        )


def _require_one_label_each(path: Path, listed: pd.DataFrame) -> None:
    # One file may be spelled in several ways, with ./ or by a link.
    labels = listed.groupby(listed["file"].map(os.path.realpath))["label"].unique()
    several = labels[labels.map(len) > 1]
    if len(several):
        raise UsageError(
            f"{path} lists {several.index[0]} with the labels {' and '.join(several.iloc[0])} ({len(several)} such "
            "images); give one label for each image."
        )
