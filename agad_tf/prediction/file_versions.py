"""The version of a file that a row or a map belongs to: absolute path, size and times of change."""

import hashlib
import os
from typing import NamedTuple

VERSION_COLUMNS = ("bytes", "modified_ns")
"""Columns of a table that identify the version of a file: size, and time in nanoseconds since 1970."""


class Version(NamedTuple):
    """Distinguishes a file from a later one of the same name; all empty if there is no file.

    Attributes:
        bytes: its size.
        modified_ns: when its content was changed, in nanoseconds since 1970.
        rights_changed_ns: when its content or its permissions were changed.
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
    """A short checksum of a file's path, or of one version of it."""
    text = "\0".join((path, *(version[:2] if version else ())))
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]
