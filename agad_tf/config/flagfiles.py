"""Flagfiles: where they are, and the flags in them."""

import codecs
import os
from collections.abc import Sequence
from pathlib import Path

from agad_tf.config.errors import UsageError

_CODE = Path(__file__).parents[1]
# A wheel has them beside the code; in a checkout they are one folder up.
FLAGFILES = next((path for path in (_CODE / "flags", _CODE.with_name("flags")) if path.is_dir()), _CODE / "flags")


def with_flagfiles(arguments: Sequence[str]) -> list[str]:
    """Puts the flags of flagfiles in the place of each `--flagfile`.

    A flagfile may include others; a file that includes itself is read once.

    Args:
        arguments: of the command, its own name first.

    Returns:
        The arguments without `--flagfile`.

    Raises:
        UsageError: a flagfile is missing or is not a text file.
    """
    return _expanded(arguments, ())


def read_lines(path: Path) -> list[str]:
    """The lines of a flagfile in UTF-8 or UTF-16, with any kind of line ends.

    Args:
        path: of the file.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is not text.
    """
    data = path.read_bytes()
    in_utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if in_utf_16 else "utf-8-sig").splitlines()


def _expanded(arguments: Sequence[str], within: tuple[Path, ...]) -> list[str]:
    expanded: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            return [*expanded, argument, *rest]
        name, equals, value = argument.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            expanded.append(argument)
            continue
        path = _find(value if equals else next(rest, ""))
        if path.resolve() not in within:
            expanded += _expanded(_flags_in(path), (*within, path.resolve()))
    return expanded


def _find(text: str) -> Path:
    """The file at the given path, otherwise the one of that name in the package."""
    path = Path(os.path.expanduser(os.path.expandvars(text.strip())))  # noqa: PTH111
    of_package = FLAGFILES / Path(*path.parts[path.parts[:1] == ("flags",) :])
    for found in (path, of_package):
        if found.is_file():
            return found
    if path.is_dir() and text.strip():
        raise UsageError(f"--flagfile={text} is a folder; name a file, such as {path / 'config.cfg'}.")
    there = ", ".join(sorted(each.name for each in FLAGFILES.glob("*.cfg")))
    raise UsageError(f"There is no flagfile '{text}'; name one of yours, or one that comes with the package: {there}.")


def _flags_in(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in read_lines(path)]
    except OSError as error:
        raise UsageError(f"--flagfile={path} cannot be read ({error.strerror}); name another.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--flagfile={path} is not text in UTF-8; save it as UTF-8 in an editor.") from error
    return [line for line in lines if line and not line.startswith(("#", "//"))]
