"""CSV files as spreadsheets and tools write them."""

import codecs
import io
import os
import re
import warnings
from pathlib import Path

import pandas as pd

from agad_tf.config.errors import RunError

_SEPARATORS = ",;\t|"
# The encoding of spreadsheets on Windows that do not write UTF-8.
_OLD_ENCODING = "cp1252"


def read_csv(path: Path) -> pd.DataFrame:
    """Reads a CSV as text.

    Values may be separated by commas, semicolons, tabs or bars, as its first line shows, with spaces beside them. It
    may be UTF-8 or UTF-16, with or without a byte-order mark, or what older Windows writes.

    Args:
        path: of the file.

    Returns:
        Its rows; names of columns in lower case, all values as text without spaces at their ends.

    Raises:
        RunError: it cannot be read as such.
    """
    try:
        text = _decoded(path.read_bytes())
        if "\0" in text:
            raise RunError(f"{path} is not text in UTF-8 or UTF-16; save it as CSV in UTF-8.")
        first, _, rest = text.lstrip().partition("\n")
        # A spreadsheet may give its separator in a separate first line.
        text = rest if first.lower().startswith("sep=") else text
        header = text.lstrip().partition("\n")[0]
        separator = max(_SEPARATORS, key=header.count)
        try:
            table = _table(text, separator)
        except (pd.errors.ParserWarning, pd.errors.ParserError):
            # Rows may end with separators, even if the first line does not.
            at_end = rf"(?:{re.escape(separator)}[ \t]*)+(?=\r?$)"
            table = _table(re.sub(at_end, "", text, flags=re.MULTILINE), separator)
    except (pd.errors.ParserWarning, pd.errors.ParserError) as error:
        raise RunError(
            f"{path} has rows with more values than columns; put values that contain '{separator}' in quotes."
        ) from error
    except PermissionError:
        raise
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read as a CSV ({str(error).strip()}); correct it.") from error
    table.columns = [str(name).strip().lower() for name in table.columns]
    if twice := sorted(table.columns[table.columns.duplicated()]):
        raise RunError(f"{path} has the column {twice[0]} twice; remove one of them.")
    return table.fillna("").apply(lambda column: column.str.strip())


def listed_file(folder: Path, name: str) -> str:
    """Finds a file that a CSV names.

    Args:
        folder: that relative paths start from.
        name: as the CSV gives it; backslashes may stand for slashes.

    Returns:
        Its path, even if no such file exists.
    """
    file = os.path.join(folder, os.path.expanduser(name))  # noqa: PTH111, PTH118 - leaves a path as it is written
    return file if os.path.exists(file) else file.replace("\\", "/")  # noqa: PTH110


def _table(text: str, separator: str) -> pd.DataFrame:
    quote = "'" if text.lstrip().startswith("'") else '"'
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        # Without an index: otherwise an extra value would turn the first column into one.
        return pd.read_csv(
            io.StringIO(text),
            sep=separator,
            quotechar=quote,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
            index_col=False,
        )


def _decoded(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode(_OLD_ENCODING)
