"""A look at every picture file before training: what cannot be read is left out and named, and copies are counted."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import sys
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from tqdm import tqdm

from agad_tf.config import RunError
from agad_tf.data.pictures import Pictures, read_file
from agad_tf.data.readers import decode_picture
from agad_tf.data.sources import Source

_SHOWN = 3
_COLUMNS = ("path", "complaint")


def leave_out_unreadable(source: Source, known: Path) -> Source:
    """The source without the files that cannot be read as pictures.

    All are decoded once. That is said on stderr, and so are files of equal content, which stay.

    Args:
        source: of picture files; any other is given back as it is.
        known: what an earlier call for the same run has found, as `write_left_out` writes it; then no file is read, and
            the parts of the set are what they were.

    Returns:
        The source, with "left_out" set.

    Raises:
        RunError: no picture of a class, or of a part of the set, is left.
    """
    if not isinstance(source.x_train, Pictures):
        return source
    left_out = _read_left_out(known) if known.exists() else _inspect(source)
    return _without(source, left_out)


def write_left_out(file: TextIO, left_out: Mapping[str, str]) -> None:
    """Writes left_out.csv."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(left_out.items())


def _read_left_out(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            header, *rows = csv.reader(file)
    except (OSError, ValueError, csv.Error) as error:
        raise RunError(f"{path} cannot be read ({error}); remove it, and the pictures are looked at again.") from error
    if tuple(header) != _COLUMNS or any(len(row) != len(_COLUMNS) for row in rows):
        raise RunError(f"{path} is damaged; remove it, and the pictures are looked at again.")
    return dict(rows)


def _inspect(source: Source) -> dict[str, str]:
    """What is wrong with each file that cannot be read."""
    parts = {name: images.paths.tolist() for name, images in _parts(source).items()}
    paths = [*dict.fromkeys(path for part in parts.values() for path in part), *map(str, source.test_masks.values())]
    with ThreadPoolExecutor() as pool:
        looks = pool.map(_look, paths)
        found = list(tqdm(looks, "looking at pictures", len(paths), unit=" pictures", delay=1, leave=False))
    left_out = {path: complaint for path, (complaint, _) in zip(paths, found, strict=True) if complaint}
    if left_out:
        first = " ".join(list(left_out.values())[:_SHOWN])
        _say(f"{len(left_out)} of {len(paths)} pictures are left out; left_out.csv lists them. {first}")
    _report_copies(parts, {path: digest for path, (_, digest) in zip(paths, found, strict=True) if digest})
    return left_out


def _look(path: str) -> tuple[str, str]:
    """What is wrong with a file, or nothing; and a digest of its content, if it is a picture."""
    try:
        data = read_file(path)
        decode_picture(path, data)
    except RunError as error:
        return str(error), ""
    return "", hashlib.blake2b(data, digest_size=16).hexdigest()


def _report_copies(parts: Mapping[str, list[str]], digests: Mapping[str, str]) -> None:
    by_digest: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, part in parts.items():
        for path in part:
            if path in digests:
                by_digest[digests[path]].append((name, path))
    copies = [files for files in by_digest.values() if len(files) > 1]
    if not copies:
        return
    text = f"{sum(len(files) - 1 for files in copies)} pictures are copies of others, such as {copies[0][1][1]}"
    leaks = [files for files in copies if {"train", "test"} <= {name for name, _ in files}]
    if leaks:
        pair = dict(leaks[0])
        text += (
            f". Of {len(leaks)} pictures there is one for training and one for testing, which flatters the figures: "
            f"{pair['train']} and {pair['test']}"
        )
    _say(f"{text}.")


def _without(source: Source, left_out: Mapping[str, str]) -> Source:
    changed: dict[str, Any] = {"left_out": left_out}
    for part, images in _parts(source).items():
        kept = ~np.isin(images.paths, list(left_out))
        labels = getattr(source, f"y_{part}")
        _require_pictures(source, part, labels, kept, images.paths, left_out)
        changed |= {f"x_{part}": images[kept], f"y_{part}": labels[kept]}
        if part == "test":
            changed["test_names"] = tuple(np.array(source.test_names, object)[kept])
            row_of = dict(zip(np.flatnonzero(kept).tolist(), range(len(kept)), strict=False))
            changed["test_masks"] = {
                row_of[row]: mask
                for row, mask in source.test_masks.items()
                if row in row_of and str(mask) not in left_out
            }
    return dataclasses.replace(source, **changed)


def _require_pictures(
    source: Source,
    part: str,
    labels: np.ndarray,
    kept: np.ndarray,
    paths: np.ndarray,
    left_out: Mapping[str, str],
) -> None:
    for number in np.unique(labels):
        of_class = labels == number
        if not kept[of_class].any():
            first = left_out[str(paths[of_class][0])]
            raise RunError(
                f"None of the {of_class.sum()} pictures of class {source.class_name(number)} for {part} can be read: "
                f"{first}"
            )


def _parts(source: Source) -> dict[str, Pictures]:
    parts = {"train": source.x_train, "test": source.x_test, "val": source.x_val}
    return {name: images for name, images in parts.items() if isinstance(images, Pictures)}


def _say(text: str) -> None:
    tqdm.write(f"agad_tf: {text}", file=sys.stderr)
