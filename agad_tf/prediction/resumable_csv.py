"""A CSV that is written as it goes, and continued where it was cut short."""

import csv
import io
import os
from pathlib import Path
from typing import Any


class ResumableCsv:
    """A CSV that is written as it goes; a row cut short by a kill is taken away when it is opened again."""

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
        """Appends rows, all of them or, on a kill, whole ones."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        # Names of files need not be UTF-8.
        self.file.write(os.fsencode(text.getvalue()))
        self.file.flush()


def _whole_lines(path: Path) -> bytes:
    data = path.read_bytes() if path.exists() else b""
    return data[: data.rfind(b"\n") + 1]


def first_column(path: Path) -> set[str]:
    """First column of a table, without its title."""
    rows = csv.reader(io.StringIO(os.fsdecode(_whole_lines(path))))
    return {row[0] for row in list(rows)[1:] if row}
