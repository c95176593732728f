"""Image files that act like an array of images: they are decoded when they are used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from agad_tf.config.errors import RunError
from agad_tf.data.pixel_range import FULL_RANGE, PixelRange
from agad_tf.data.preprocessing import ImageSize, sides_of, to_network_input, to_uint8
from agad_tf.data.readers import PICTURE_SUFFIXES, decode_picture, is_grey, require_file_size
from agad_tf.files.own_output import own_images

# Number of files that one call decodes, and of pixel values of equal shape that are resized together.
FILES_PER_CALL = 64
_VALUES_TOGETHER = 2**20
# The headers of this many images, spread over all, are read.
_HEADERS = 100


class Pictures:
    """Image files of any size as images of one size.

    Supports the operations of arrays that the package uses: length, shape, rows by index, and `np.asarray(images)` for
        all pixels.

    Args:
        paths: of the files.
        channels: 1 turns them grey, 3 into RGB.
        image_size: side in pixels that they are resized to.
        pixel_range: the values that are black and white in images of more than 8 bits.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, paths: np.ndarray | list[str], channels: int, image_size: ImageSize, pixel_range: PixelRange = FULL_RANGE
    ):
        self.paths = np.asarray(paths, np.str_)
        self.channels = channels
        self.image_size = image_size
        self.pixel_range = pixel_range

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Images, height, width, channels."""
        return len(self.paths), *sides_of(self.image_size), self.channels

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: np.ndarray | slice) -> Pictures:
        return Pictures(self.paths[rows], self.channels, self.image_size, self.pixel_range)

    def at_size(self, image_size: ImageSize) -> Pictures:
        """The same files, resized to another size."""
        return Pictures(self.paths, self.channels, image_size, self.pixel_range)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """Decodes all: uint8 (images, image_size, image_size, channels)."""
        decoded = [np.empty((0, *self.shape[1:]), np.uint8)]
        for start in range(0, len(self), FILES_PER_CALL):
            rows = np.arange(start, min(start + FILES_PER_CALL, len(self)))
            decoded.append(to_uint8(self.network_inputs(rows)))
        pixels = np.concatenate(decoded)
        return pixels if dtype is None else pixels.astype(dtype)

    def network_inputs(self, rows: np.ndarray) -> np.ndarray:
        """Decodes and resizes some of the images.

        Args:
            rows: int (n,).

        Returns:
            float32 (n, image_size, image_size, channels) in [-1, 1].

        Raises:
            RunError: a file cannot be read as an image.
        """
        decoded = decode_files(self.paths[rows], self.channels, self.image_size, self.pixel_range)
        for complaint in decoded.complaints:
            if complaint:
                raise RunError(complaint)
        return decoded.inputs


class Decoded(NamedTuple):
    """The result of decoding files.

    Attributes:
        inputs: float32 (files, image_size, image_size, channels) in [-1, 1]; 0 if a file is unreadable.
        complaints: what is wrong with each file; empty if nothing is.
    """

    inputs: np.ndarray
    complaints: list[str]


def decode_files(
    paths: np.ndarray, channels: int, image_size: ImageSize, pixel_range: PixelRange = FULL_RANGE
) -> Decoded:
    """Decodes and resizes image files.

    Args:
        paths: str (files,).
        channels: 1 turns them grey, 3 into RGB.
        image_size: side in pixels.
        pixel_range: the values that are black and white in images of more than 8 bits.

    Returns:
        Their pixels, and what is wrong with those that cannot be read.
    """
    inputs = np.zeros((len(paths), *sides_of(image_size), channels), np.float32)
    complaints = [""] * len(paths)
    alike: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = defaultdict(list)

    def resize(shape: tuple[int, ...]) -> None:
        places, pixels = zip(*alike.pop(shape), strict=True)
        stacked = np.stack(pixels)
        if stacked.size < _VALUES_TOGETHER:
            inputs[list(places)] = to_network_input(stacked, image_size)
            return
        # Resizing needs several copies in memory, so large images are resized one channel at a time.
        for channel in range(channels):
            inputs[list(places), ..., channel] = to_network_input(stacked[..., channel, np.newaxis], image_size)[..., 0]

    for place, path in enumerate(paths):
        try:
            pixels = read_picture(path, channels, pixel_range, to_be=image_size)
        except RunError as error:
            complaints[place] = str(error)
            continue
        # Small images of one size are resized together, for speed; large ones one by one, for memory.
        alike[pixels.shape].append((place, pixels))
        if len(alike[pixels.shape]) * pixels.size >= _VALUES_TOGETHER:
            resize(pixels.shape)
    for shape in list(alike):
        resize(shape)
    return Decoded(inputs, complaints)


def read_picture(
    path: str, channels: int, pixel_range: PixelRange = FULL_RANGE, to_be: ImageSize | None = None
) -> np.ndarray:
    """Reads an image at its own size, or at a reduced one that is large enough.

    Args:
        path: of the file.
        channels: 1 turns it grey, 3 into RGB.
        pixel_range: the values that are black and white in images of more than 8 bits.
        to_be: the size to which the image will be resized, see `agad_tf.data.readers.decode_picture`.

    Returns:
        uint8 (height, width, channels).

    Raises:
        RunError: it cannot be read as an image.
    """
    return decode_picture(path, read_file(path), channels, pixel_range, to_be)


def read_file(path: str) -> bytes:
    """Reads an image file, undecoded.

    Raises:
        RunError: it cannot be read, or is too large for an image.
    """
    try:
        file = Path(path)
        require_file_size(path, file.stat().st_size)
        return file.read_bytes()
    except PermissionError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); give this user the permission.") from error
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); repair or remove it.") from error


def pictures_below(folder: Path) -> list[Path]:
    """All files below a folder with an image's extension, sorted; links are followed.

    Hidden files, and maps that predictions have written there, are skipped.

    Raises:
        OSError: a folder cannot be read.
    """
    return sorted(file for file in _files_below(folder, ()) if file.suffix.lower() in PICTURE_SUFFIXES)


def _files_below(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    here = folder.resolve()
    # A link may lead back to a folder above it.
    if here in above:
        return
    written = own_images(folder)
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name in written:
            continue
        if path.is_dir():
            yield from _files_below(path, (*above, here))
        elif path.is_file():
            yield path


def channels_of(paths: list[str]) -> int:
    """1 if the images are grey, 3 if any of those that are checked has colour; unreadable ones are skipped."""
    for path in paths[:: max(1, len(paths) // _HEADERS)]:
        try:
            with Image.open(path) as picture:
                if not is_grey(picture):
                    return 3
        except Exception:  # As in decode_picture, which reports what is wrong.
            continue
    return 1


Images = np.ndarray | Pictures
"""uint8 (images, height, width, channels), in memory or in files."""


def joined(parts: Sequence[Images]) -> Images:
    """Concatenates images that are all in memory or all in files."""
    pictures = [part for part in parts if isinstance(part, Pictures)]
    if pictures:
        paths = np.concatenate([part.paths for part in pictures])
        return Pictures(paths, pictures[0].channels, pictures[0].image_size, pictures[0].pixel_range)
    return np.concatenate(parts)
