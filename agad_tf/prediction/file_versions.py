"""Which version of a file a row or a map is of: its absolute path, its size and when it was changed."""

import hashlib
import os
from typing import NamedTuple

VERSION_COLUMNS = ("bytes", "modified_ns")
"""Columns of a table that tell versions of a file apart: its size, and nanoseconds since 1970."""


class Version(NamedTuple):
    """What tells a file from another one that takes its name later; all empty where there is none.

    Attributes:
        bytes: its size.
        modified_ns: when its content was changed, in nanoseconds since 1970.
        rights_changed_ns: when its content, or who may read it, was changed.
    """

    bytes: str = ""
    modified_ns: str = ""
    rights_changed_ns: str = ""


def version_of(path: str) -> Version:
    """The version of a file that is there now."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return Version()
    return Version(str(found.st_size), str(found.st_mtime_ns), str(found.st_ctime_ns))


def digest(path: str, version: Version | None = None) -> str:
    """A short name for a file by its path, or for one version of it."""
    text = "\0".join((path, *(version[:2] if version else ())))
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]
