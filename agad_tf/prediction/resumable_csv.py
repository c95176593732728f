"""A CSV that grows row by row, and can be continued after a kill."""

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from agad_tf.files.whole_files import write_whole


class ResumableCsv:
    """A CSV that grows row by row; a row that a kill cut short is removed when the file is opened again."""

    def __init__(self, path: Path, columns: tuple[str, ...]):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.columns = path, columns

    def __enter__(self) -> "ResumableCsv":
        whole = _whole_lines(self.path)
        self.file = self.path.open("r+b" if self.path.exists() else "w+b")
        self.file.truncate(len(whole))
        self.file.seek(len(whole))
        if not whole:
            self.write([self.columns])
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, rows: Any) -> None:
        """Appends rows; a kill may lose some of them, but leaves whole rows."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        # Names of files need not be UTF-8.
        self.file.write(os.fsencode(text.getvalue()))
        self.file.flush()


def _whole_lines(path: Path) -> bytes:
    data = path.read_bytes() if path.exists() else b""
    return data[: data.rfind(b"\n") + 1]


def rows_of(path: Path) -> list[dict[str, str]]:
    """The complete rows of a table, each by its columns; empty without a table."""
    return list(csv.DictReader(io.StringIO(os.fsdecode(_whole_lines(path)))))


def rewrite(path: Path, columns: tuple[str, ...], rows: Iterable[Mapping[str, str]]) -> None:
    """Replaces the table by these rows, restricted to the given columns."""

    def write(file: TextIO) -> None:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

    write_whole(path, write)
