"""The images that `--input` names."""

import glob
import os
from pathlib import Path

from agad_tf.config.errors import UsageError
from agad_tf.data.csv_files import listed_file, read_csv
from agad_tf.data.images_in_files import pictures_below

# Endings of files that list images.
_LISTS = (".csv", ".tsv", ".txt")


def find_images(pattern: str) -> list[str]:
    """Lists the images that a file, a folder, a glob pattern or a CSV names, each once.

    Args:
        pattern: an image, a folder of them, a glob pattern, or a CSV with the column path, as spreadsheets write it. A
            folder stands for all files below it with an image's file extension. Paths in a CSV are relative to it.

    Returns:
        Their absolute paths, sorted, so that names do not depend on the current folder.

    Raises:
        UsageError: there are no images.
        RunError: the CSV cannot be read.
    """
    path = Path(pattern)
    if path.is_dir():
        paths = [str(file) for file in pictures_below(path)]
    elif path.is_file() and path.suffix.lower() in _LISTS:
        paths = _listed_in(path)
    elif path.is_file():
        paths = [pattern]
    else:
        paths = [file for file in sorted(glob.glob(pattern, recursive=True)) if Path(file).is_file()]  # noqa: PTH207
    if not paths:
        raise UsageError(f"--input={pattern} names no images; give a file, a folder, a pattern in quotes or a CSV.")
    return list(dict.fromkeys(map(os.path.abspath, paths)))


def _listed_in(path: Path) -> list[str]:
    listed = read_csv(path)
    if "path" not in listed:
        raise UsageError(f"{path} has no column path, only {', '.join(listed.columns)}; rename one of them.")
    return [listed_file(path.parent, name) for name in listed["path"] if name]
