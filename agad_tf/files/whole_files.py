"""Atomic writing of files and folders: under a temporary name, which is then renamed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO


def write_whole(path: Path, write: Callable[[TextIO], Any]) -> None:
    """Writes a text file under a temporary name and renames it, so that it is never incomplete."""
    beside = path.with_name(path.name + ".partial")
    # File names need not be UTF-8.
    with beside.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def replace_folder(folder: Path, by: Path) -> None:
    """Replaces a folder by another; at any moment, one of the two is complete."""
    settle_folder(folder)
    if folder.exists():
        folder.rename(_earlier(folder))
    by.rename(folder)
    shutil.rmtree(_earlier(folder), ignore_errors=True)


def settle_folder(folder: Path) -> None:
    """Completes or undoes an interrupted replacement."""
    if folder.exists():
        shutil.rmtree(_earlier(folder), ignore_errors=True)
    elif _earlier(folder).exists():
        _earlier(folder).rename(folder)


def _earlier(folder: Path) -> Path:
    return folder.with_name(f"earlier-{folder.name}")
