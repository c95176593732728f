"""Users' own images that a CSV lists."""

from pathlib import Path

import pandas as pd

from agad_tf.config.errors import RunError, UsageError
from agad_tf.data.set_names import ONLY_CLASS, SPLITS


def list_csv(path: Path) -> tuple[pd.DataFrame, str]:
    """The images that a CSV lists, a row for each, and what to tell the user of how they were read."""
    try:
        listed = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read as a CSV ({str(error).strip()}); mend it.") from error
    columns, note = set(listed.columns), ""
    # Another column might hold the labels under a name of its own: then nothing is taken as normal.
    if "path" in columns and columns <= {"path", "split"} and not listed.empty:
        listed["label"] = ONLY_CLASS
        note = f"{path} has no column label: all {len(listed)} images count as normal, as class {ONLY_CLASS}."
    elif not {"path", "label"} <= columns or listed.empty:
        raise UsageError(
            f"{path} must have rows and the columns path and label; it has {', '.join(listed.columns)}. For normal "
            "images alone, the column path is enough."
        )
    listed = listed.reindex(columns=["path", "label", "split", "mask"], fill_value="")
    unknown = sorted(set(listed["split"].str.lower()) - {"", *SPLITS})
    if unknown:
        raise UsageError(f"{path} has the split '{unknown[0]}'; write train, val or test.")
    listed["split"] = listed["split"].str.lower().replace(SPLITS)
    for column in ("path", "mask"):
        files = [str(path.parent / name) if name else "" for name in listed[column]]
        missing = [file for file in files if file and not Path(file).is_file()]
        if missing:
            raise RunError(f"{path} names {missing[0]}, which is not there ({len(missing)} such); mend the CSV.")
        listed["file" if column == "path" else "mask"] = files
    return listed.rename(columns={"path": "name"}), note
