"""Readers of benchmark sets: IDX files, `.npz`, images in folders or in a tar."""

import contextlib
import gzip
import io
import math
import os
import struct
import tarfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from agad_tf.config.errors import RunError
from agad_tf.data.pixel_range import FULL_RANGE, Extremes, PixelRange, extremes_of, require_finite
from agad_tf.data.preprocessing import ImageSize, enough_pixels
from agad_tf.data.tiff_colours import colours_of_tiff, has_colours_of_16_bits

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
MAX_FILE_BYTES = 2**30
# Pillow's modes for whole and floating-point numbers beyond 8 bits.
_DEEP_MODES = ("I", "F")
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*")
_PIECE = 2**24
_IDX_UNSIGNED_BYTES = 0x08

Arrays = dict[str, np.ndarray]


def read_idx(path: Path) -> np.ndarray:
    """Reads an IDX file of unsigned bytes, gzipped or not.

    Args:
        path: the file; the extension `.gz` means that it is gzipped.

    Returns:
        uint8, with the shape in the file's header.

    Raises:
        RunError: the file cannot be read, is not an IDX file, or its length contradicts its header.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            magic = file.read(4)
            if len(magic) < 4 or magic[:3] != bytes([0, 0, _IDX_UNSIGNED_BYTES]):
                raise RunError(f"{path} is not an IDX file of unsigned bytes; get the file again.")
            sizes = file.read(4 * magic[3])
            if len(sizes) < 4 * magic[3]:
                raise RunError(f"{path} is not an IDX file of unsigned bytes; get the file again.")
            shape = struct.unpack(f">{magic[3]}I", sizes)
            # Not a byte more than the header announces: a small file may unpack without end.
            data = _read_up_to(file, math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise RunError(f"{path} cannot be read ({error}); get the file again.") from error
    expected = math.prod(shape)
    if len(data) != expected:
        found = str(len(data)) if len(data) < expected else f"more than {expected}"
        raise RunError(f"{path} has {found} bytes, but its header says {expected}; get the file again.")
    try:
        return np.frombuffer(data, np.uint8).reshape(shape)
    except ValueError as error:
        raise RunError(f"{path} has an impossible shape, {shape}; get the file again.") from error


def _read_up_to(file: io.BufferedIOBase, size: int) -> bytes:
    """Reads in pieces, because `read` would allocate the memory for all bytes at once."""
    pieces = []
    while size > 0 and (piece := file.read(min(size, _PIECE))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def read_idx_folder(folder: Path) -> Arrays | None:
    """Reads the four IDX files of MNIST and similar sets; None if any is missing."""
    paths = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        for key, name in ((f"x_{split}", "images-idx3-ubyte"), (f"y_{split}", "labels-idx1-ubyte")):
            names = (f"{prefix}-{name}.gz", f"{prefix}-{name}")
            found = [folder / candidate for candidate in names if (folder / candidate).is_file()]
            if not found:
                return None
            paths[key] = found[0]
    return {key: read_idx(path) for key, path in paths.items()}


def read_npz(path: Path) -> Arrays:
    """Reads an `.npz` archive, without unpickling anything.

    Raises:
        RunError: the file cannot be read, or holds objects.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            size = sum(member.file_size for member in archive.zip.infolist())
            if size > (memory := os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")):
                raise RunError(
                    f"{path} unpacks to {size / 2**30:.0f} GiB, and this machine has {memory / 2**30:.0f} GiB of "
                    "memory; give images in a folder instead."
                )
            arrays = dict(archive)
    except (RunError, PermissionError):
        raise
    # For damaged files, zipfile and NumPy raise many kinds of exceptions, NotImplementedError and MemoryError included.
    except Exception as error:
        raise RunError(
            f"{path} cannot be read as an .npz of plain arrays ({type(error).__name__}); save arrays of numbers, or "
            "get the file again."
        ) from error
    if others := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise RunError(f"{path} holds {others[0]}, which is not an array; get the file again.")
    return arrays


def read_pictures(path: Path) -> tuple[Arrays, list[str]] | None:
    """Reads images laid out as `train/<class>/…` and `test/<class>/…`, in a folder or a tar of one.

    Args:
        path: folder, or tar file of any compression.

    Returns:
        x_train, y_train, x_test, y_test, and the classes' names in alphabetical order, whose positions y holds; None if
        the path holds no such images.

    Raises:
        RunError: an image cannot be read, or images differ in size or colour.
    """
    pictures: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    labels: dict[str, list[str]] = {"train": [], "test": []}
    source = _tar_members(path) if path.is_file() else _folder_files(path)
    for name, data in tqdm(source, desc=f"reading {path.name}", unit=" images", delay=1, disable=None):
        split, label = PurePosixPath(name).parts[-3:-1]
        pictures[split].append(decode_picture(f"{path}: {name}", data))
        labels[split].append(label)
    if not pictures["train"] or not pictures["test"]:
        return None
    shapes = {picture.shape for split in pictures.values() for picture in split}
    if len(shapes) > 1:
        raise RunError(f"The images in {path} differ in size or channels ({sorted(shapes)}); convert them to one.")
    names = sorted(set(labels["train"]) | set(labels["test"]))
    arrays = {}
    for split in ("train", "test"):
        arrays[f"x_{split}"] = np.stack(pictures[split])
        arrays[f"y_{split}"] = np.array([names.index(label) for label in labels[split]])
    return arrays, names


def decode_picture(
    name: str,
    data: bytes,
    channels: int | None = None,
    pixel_range: PixelRange = FULL_RANGE,
    to_be: ImageSize | None = None,
) -> np.ndarray:
    """Decodes an image file, and turns it upright by its EXIF data.

    Only the first frame is read; alpha is dropped; more than 8 bits are read by `pixel_range`.

    Args:
        name: for the message.
        data: what the file holds.
        channels: 1 for grey, 3 for RGB; None keeps grey images grey and converts all others to RGB.
        pixel_range: the values that are black and white in images of more than 8 bits.
        to_be: the size that the image will be resized to. A JPEG is decoded at a half, a quarter or an eighth of its
            size if that is enough, see `agad_tf.data.preprocessing.enough_pixels`.

    Returns:
        uint8 (height, width, channels).

    Raises:
        RunError: it cannot be read as an image.
    """
    with _opened(name, data) as picture:
        if to_be is not None and picture.format == "JPEG":
            picture.draft(None, (enough_pixels(to_be), enough_pixels(to_be)))
        grey = is_grey(picture) if channels is None else channels == 1
        upright = ImageOps.exif_transpose(_of_8_bits(picture, data, pixel_range))
        pixels = np.asarray(upright.convert("L" if grey else "RGB"))
    return pixels[..., np.newaxis] if grey else pixels


def decode_values(name: str, data: bytes) -> np.ndarray:
    """Decodes an image file to grey values of any range, for masks.

    Args:
        name: for the message.
        data: what the file holds.

    Returns:
        Whole or floating-point numbers (height, width), turned upright.

    Raises:
        RunError: it cannot be read as an image.
    """
    with _opened(name, data) as picture:
        upright = ImageOps.exif_transpose(picture)
        return np.asarray(upright if upright.mode.startswith(_DEEP_MODES) else upright.convert("L"))


@contextlib.contextmanager
def _opened(name: str, data: bytes) -> Iterator[Image.Image]:
    """An opened image; errors while it is decoded become one sentence."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            yield picture
    except UnidentifiedImageError as error:
        if data.startswith(_TIFF):
            raise RunError(
                f"{name} is a TIFF of an unsupported kind, such as floating-point colours; save it as PNG."
            ) from error
        raise RunError(f"{name} cannot be read as an image (unknown format); repair or remove it.") from error
    except Image.DecompressionBombError as error:
        raise RunError(
            f"{name} has more pixels than --max_megapixels={max_megapixels():g} allows; raise that option, or remove "
            "the image."
        ) from error
    # For damaged files, Pillow's decoders raise many kinds of exceptions: OSError, SyntaxError, IndexError,
    # struct.error and others.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"{name} cannot be read as an image ({reason}); repair or remove it.") from error


def limit_pixels(megapixels: float) -> None:
    """Sets how many pixels an image may have; this is checked in its header before anything is decoded.

    A file of a few kilobytes can hold an image that fills all memory (a decompression bomb).

    Args:
        megapixels: in millions of pixels, for this process.
    """
    # Pillow warns above its limit, and refuses images above twice that.
    Image.MAX_IMAGE_PIXELS = max(1, int(megapixels * 1e6 / 2))
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def max_megapixels() -> float:
    """How many pixels an image may have, in millions."""
    return 2 * (Image.MAX_IMAGE_PIXELS or math.inf) / 1e6


def require_file_size(name: str, size: int) -> None:
    """Refuses files that would fill memory before they are known to be images.

    Raises:
        RunError: the file is larger than any image.
    """
    if size > MAX_FILE_BYTES:
        raise RunError(f"{name} has {size / 2**30:.1f} GiB, more than an image file may have (1 GiB); remove it.")


def is_grey(picture: Image.Image) -> bool:
    """Whether an image has no colour, by its header; no pixel is decoded."""
    return picture.mode in ("1", "L", "LA", "La") or picture.mode.startswith(_DEEP_MODES)


def depth_of(name: str, data: bytes) -> Extremes | None:
    """Decodes an image file to find its extremes.

    Args:
        name: for the message.
        data: what the file holds.

    Returns:
        None for 8 bits or fewer. The lower 8 bits of 16-bit colours are ignored, except in most TIFFs.

    Raises:
        RunError: it cannot be read as an image.
    """
    with _opened(name, data) as picture:
        if picture.mode.startswith(_DEEP_MODES):
            return extremes_of(require_finite(np.asarray(picture)))
        is_deep_tiff = has_colours_of_16_bits(picture)
        if is_deep_tiff:
            with contextlib.suppress(OSError):
                return extremes_of(colours_of_tiff(data, picture))
        elif not _is_png_of_16_bit_colours(data):
            if picture.format == "JPEG":
                # Decoding at an eighth of the size finds all errors of the file as well.
                picture.draft(None, (1, 1))
            ImageOps.exif_transpose(picture).load()
            return None
        highest = int(np.asarray(picture.convert("RGB")).max())
        return Extremes(0, 256 * highest + 255, whole=True)


def _of_8_bits(picture: Image.Image, data: bytes, pixel_range: PixelRange) -> Image.Image:
    if picture.mode.startswith(_DEEP_MODES):
        # Pillow would clip 16 bits at 255.
        values = np.asarray(picture)
    elif pixel_range.bits < FULL_RANGE.bits and _is_png_of_16_bit_colours(data):
        # Pillow keeps the upper 8 bits.
        values = tf.io.decode_png(data, channels=3, dtype=tf.uint16).numpy()
    elif pixel_range.bits < FULL_RANGE.bits and has_colours_of_16_bits(picture):
        values = colours_of_tiff(data, picture)
    else:
        return picture
    pixels = Image.fromarray(pixel_range.to_8_bits(values))
    pixels.getexif().update(picture.getexif())
    return pixels


def _is_png_of_16_bit_colours(data: bytes) -> bool:
    """By its header: 16 bits, with colours and possibly alpha."""
    return data.startswith(_PNG) and data[24:26] in (b"\x10\x02", b"\x10\x06")


def _is_picture_of_a_class(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in PICTURE_SUFFIXES and len(path.parts) >= 3 and path.parts[-3] in ("train", "test")


def _folder_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.glob("*/*/*")):
        name = path.relative_to(folder).as_posix()
        if _is_picture_of_a_class(name):
            yield name, path.read_bytes()


def _tar_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Members are read from within the archive; nothing is unpacked to disk."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and _is_picture_of_a_class(member.name):
                    require_file_size(f"{path}: {member.name}", member.size)
                    data = archive.extractfile(member)
                    if data:
                        yield member.name, data.read()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise RunError(
            f"{path} cannot be read as a tar of images ({type(error).__name__}); get the file again."
        ) from error
