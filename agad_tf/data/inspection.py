"""Inspection of every image file before training: unreadable files are left out and listed, and copies are counted."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import sys
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from tqdm import tqdm

from agad_tf.config.errors import RunError
from agad_tf.data.images_in_files import Pictures, read_file
from agad_tf.data.pixel_range import FULL_RANGE, Extremes, PixelRange, range_of
from agad_tf.data.readers import depth_of
from agad_tf.data.sources import Source

_SHOWN = 3
_COLUMNS = ("path", "complaint")


class _Look(NamedTuple):
    """The result for a file: what is wrong with it, or a digest of its content and its extremes beyond 8 bits."""

    complaint: str
    digest: str
    extremes: Extremes | None = None


def leave_out_unreadable(source: Source, known: Path, pixel_range: PixelRange = FULL_RANGE) -> Source:
    """The source without the files that cannot be read as images.

    All are decoded once. Unreadable files, and files with equal content, which stay, are reported on stderr.

    Args:
        source: of image files; any other is returned unchanged.
        known: the list that an earlier call for the same run has written by `write_left_out`; then no file is read, and
            the parts of the set do not change.
        pixel_range: found by the earlier call.

    Returns:
        The source, with "left_out" and "pixel_range" set: all files are read by one common range.

    Raises:
        RunError: a class, or a part of the set, has no image left.
    """
    if not isinstance(source.x_train, Pictures):
        return source
    if known.exists():
        left_out = _read_left_out(known)
        if not left_out.keys() <= set(_paths(source)):
            # The set has been moved, and the list has the earlier paths.
            left_out = _complaints(_look_at_all(source))
        return _without(_read_by(source, pixel_range), left_out)
    found = _look_at_all(source)
    paths = (path for images in _parts(source).values() for path in images.paths.tolist())
    extremes = [deep for path in paths if (deep := found[path].extremes)]
    source = _read_by(source, range_of(extremes))
    for sentence in source.pixel_range.sentences(extremes):
        _say(sentence)
    readable = _without(source, _complaints(found))
    _report(readable.left_out, found)
    _report_copies(source, found)
    return readable


def write_left_out(file: TextIO, left_out: Mapping[str, str]) -> None:
    """Writes left_out.csv."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(left_out.items())


def _read_left_out(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            header, *rows = csv.reader(file)
    except PermissionError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise RunError(f"{path} cannot be read ({error}); if you remove it, the images are inspected again.") from error
    if tuple(header) != _COLUMNS or any(len(row) != len(_COLUMNS) for row in rows):
        raise RunError(f"{path} is damaged; if you remove it, the images are inspected again.")
    return dict(rows)


def _look_at_all(source: Source) -> dict[str, _Look]:
    """The result for every image and mask, by path."""
    paths = _paths(source)
    with ThreadPoolExecutor() as pool:
        bar = {"unit": " images", "delay": 1, "leave": False, "disable": None}
        looks = tqdm(pool.map(_look, paths), "inspecting images", len(paths), **bar)
        return dict(zip(paths, looks, strict=True))


def _paths(source: Source) -> list[str]:
    """The paths of all images and masks, each once."""
    paths = [path for images in _parts(source).values() for path in images.paths.tolist()]
    all_masks = (*source.train_masks.values(), *source.test_masks.values())
    return list(dict.fromkeys([*paths, *(str(mask) for masks in all_masks for mask in masks)]))


def _complaints(found: Mapping[str, _Look]) -> dict[str, str]:
    return {path: look.complaint for path, look in found.items() if look.complaint}


def _look(path: str) -> _Look:
    try:
        data = read_file(path)
        extremes = depth_of(path, data)
    except RunError as error:
        return _Look(str(error), "")
    return _Look("", hashlib.blake2b(data, digest_size=16).hexdigest(), extremes)


def _report(left_out: Mapping[str, str], found: Mapping[str, _Look]) -> None:
    if left_out:
        first = " ".join(list(left_out.values())[:_SHOWN])
        are = "is" if len(left_out) == 1 else "are"
        _say(f"{len(left_out)} of {len(found)} images {are} left out; see left_out.csv. {first}")


def _report_copies(source: Source, found: Mapping[str, _Look]) -> None:
    by_digest: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for part, images in _parts(source).items():
        for path in images.paths.tolist():
            if digest := found[path].digest:
                by_digest[digest].append((part, path))
    copies = [files for files in by_digest.values() if len(files) > 1]
    if not copies:
        return
    count = sum(len(files) - 1 for files in copies)
    are_copies = "image is a copy" if count == 1 else "images are copies"
    text = f"{count} {are_copies} of others, such as {copies[0][1][1]}"
    leaks = [files for files in copies if {"train", "test"} <= {part for part, _ in files}]
    if leaks:
        pair = dict(leaks[0])
        text += (
            f". Copies in both training and test: {len(leaks)}, such as {pair['train']} and {pair['test']}; they make "
            "the figures look better than they are"
        )
    _say(f"{text}.")


def _read_by(source: Source, pixel_range: PixelRange) -> Source:
    parts: dict[str, Any] = {
        f"x_{part}": Pictures(images.paths, images.channels, images.image_size, pixel_range)
        for part, images in _parts(source).items()
    }
    return dataclasses.replace(source, pixel_range=pixel_range, **parts)


def _without(source: Source, left_out: Mapping[str, str]) -> Source:
    changed: dict[str, Any] = {"left_out": left_out}
    for part, images in _parts(source).items():
        kept = ~np.isin(images.paths, list(left_out))
        labels = getattr(source, f"y_{part}")
        _require_pictures(source, part, labels, kept, images.paths, left_out)
        changed |= {f"x_{part}": images[kept], f"y_{part}": labels[kept]}
        if part == "test":
            changed["test_names"] = tuple(np.array(source.test_names, object)[kept])
        if part in ("train", "test"):
            # If one of its masks is missing, it is unknown where the image is normal.
            row_of = dict(zip(np.flatnonzero(kept).tolist(), range(len(kept)), strict=False))
            changed[f"{part}_masks"] = {
                row_of[row]: masks
                for row, masks in getattr(source, f"{part}_masks").items()
                if row in row_of and not any(str(mask) in left_out for mask in masks)
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
                f"None of the {of_class.sum()} images of class {source.class_name(number)} for {part} can be read: "
                f"{first}"
            )


def _parts(source: Source) -> dict[str, Pictures]:
    parts = {"train": source.x_train, "test": source.x_test, "val": source.x_val}
    return {name: images for name, images in parts.items() if isinstance(images, Pictures)}


def _say(text: str) -> None:
    tqdm.write(f"agad_tf: {text}", file=sys.stderr)
