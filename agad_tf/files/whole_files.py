"""Files and folders that are written beside their place and then put there: nobody sees half of one."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO


def write_whole(path: Path, write: Callable[[TextIO], Any]) -> None:
    """Writes a text file beside its place and then puts it there, so that no half-written one is ever seen."""
    beside = path.with_name(path.name + ".partial")
    # Names of files need not be UTF-8.
    with beside.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def replace_folder(folder: Path, by: Path) -> None:
    """Puts a folder in the place of another; at every moment one of the two is there, whole."""
    settle_folder(folder)
    if folder.exists():
        folder.rename(_earlier(folder))
    by.rename(folder)
    shutil.rmtree(_earlier(folder), ignore_errors=True)


def settle_folder(folder: Path) -> None:
    """Puts back what a replacement that was cut short had taken away, or removes what it had left."""
    if folder.exists():
        shutil.rmtree(_earlier(folder), ignore_errors=True)
    elif _earlier(folder).exists():
        _earlier(folder).rename(folder)


def _earlier(folder: Path) -> Path:
    return folder.with_name(f"earlier-{folder.name}")
