"""Readers of the forms that benchmark sets come in: IDX files, `.npz`, pictures in folders or in a tar."""

import gzip
import io
import math
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from agad_tf.config import RunError

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
_IDX_UNSIGNED_BYTES = 0x08

Arrays = dict[str, np.ndarray]


def read_idx(path: Path) -> np.ndarray:
    """Reads an IDX file of unsigned bytes, gzipped or not.

    Args:
        path: the file; `.gz` at the end of its name says that it is gzipped.

    Returns:
        uint8, of the shape that the file's header gives.

    Raises:
        RunError: the file cannot be read, is no such file, or its length is not what its header says.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise RunError(f"{path} cannot be read ({error}); get the file again.") from error
    if len(data) < 4 or data[:3] != bytes([0, 0, _IDX_UNSIGNED_BYTES]) or len(data) < 4 + 4 * data[3]:
        raise RunError(f"{path} is not an IDX file of unsigned bytes; get the file again.")
    offset = 4 + 4 * data[3]
    shape = struct.unpack(f">{data[3]}I", data[4:offset])
    expected = math.prod(shape)
    if len(data) - offset != expected:
        raise RunError(f"{path} holds {len(data) - offset} bytes where its header says {expected}; get the file again.")
    return np.frombuffer(data, np.uint8, offset=offset).reshape(shape)


def read_idx_folder(folder: Path) -> Arrays | None:
    """Reads the four files of MNIST and its kin; None where they are not all there."""
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
            return dict(archive)
    except (
        OSError,
        ValueError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        AttributeError,
        TypeError,
    ) as error:
        raise RunError(
            f"{path} cannot be read as an .npz of plain arrays ({type(error).__name__}); get the file again."
        ) from error


def read_pictures(path: Path) -> tuple[Arrays, list[str]] | None:
    """Reads pictures laid out as `train/<class>/…` and `test/<class>/…`, in a folder or a tar of one.

    Args:
        path: folder, or tar file of any compression.

    Returns:
        x_train, y_train, x_test, y_test, and the classes' names in alphabetical order, which y counts;
        None where the path holds no such pictures.

    Raises:
        RunError: a picture cannot be read, or pictures differ in size or colour.
    """
    pictures: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    labels: dict[str, list[str]] = {"train": [], "test": []}
    source = _tar_members(path) if path.is_file() else _folder_files(path)
    for name, data in tqdm(source, desc=f"reading {path.name}", unit=" pictures", delay=1):
        split, label = PurePosixPath(name).parts[-3:-1]
        pictures[split].append(decode_picture(f"{path}: {name}", data))
        labels[split].append(label)
    if not pictures["train"] or not pictures["test"]:
        return None
    shapes = {picture.shape for split in pictures.values() for picture in split}
    if len(shapes) > 1:
        raise RunError(f"The pictures in {path} differ in size or colour ({sorted(shapes)}); make them alike.")
    names = sorted(set(labels["train"]) | set(labels["test"]))
    arrays = {}
    for split in ("train", "test"):
        arrays[f"x_{split}"] = np.stack(pictures[split])
        arrays[f"y_{split}"] = np.array([names.index(label) for label in labels[split]])
    return arrays, names


def decode_picture(name: str, data: bytes, channels: int | None = None) -> np.ndarray:
    """Decodes a picture file, turned upright as its EXIF data says.

    Of several frames it is the first; alpha is left out; of 16 bits the upper 8 are kept.

    Args:
        name: for the message.
        data: what the file holds.
        channels: 1 for grey, 3 for RGB; None leaves grey ones grey and turns all others into RGB.

    Returns:
        uint8 (height, width, channels).

    Raises:
        RunError: it cannot be read as a picture.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            grey = is_grey(picture) if channels is None else channels == 1
            upright = ImageOps.exif_transpose(picture)
            pixels = np.asarray(_of_8_bits(upright).convert("L" if grey else "RGB"))
    except UnidentifiedImageError as error:
        raise RunError(f"{name} cannot be read as a picture (its format is not known); mend or remove it.") from error
    # RuntimeError is how Pillow's AVIF decoder complains.
    except (OSError, ValueError, SyntaxError, RuntimeError, Image.DecompressionBombError) as error:
        raise RunError(f"{name} cannot be read as a picture ({error}); mend or remove it.") from error
    return pixels[..., np.newaxis] if grey else pixels


def is_grey(picture: Image.Image) -> bool:
    """Whether a picture has no colour; its header says so, no pixel is decoded."""
    return picture.mode in ("1", "L", "LA", "La") or picture.mode.startswith("I")


def _of_8_bits(picture: Image.Image) -> Image.Image:
    if picture.mode == "F":
        raise ValueError("it holds floating-point numbers, whose range is unknown")
    if picture.mode.startswith("I"):
        # Pillow would clip 16 bits at 255.
        return Image.fromarray((np.asarray(picture).clip(0, 65535) >> 8).astype(np.uint8))
    return picture


def _is_picture_of_a_class(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in PICTURE_SUFFIXES and len(path.parts) >= 3 and path.parts[-3] in ("train", "test")


def _folder_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.glob("*/*/*")):
        name = path.relative_to(folder).as_posix()
        if _is_picture_of_a_class(name):
            yield name, path.read_bytes()


def _tar_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Members are read where they lie in the archive; nothing is unpacked to disk."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and _is_picture_of_a_class(member.name):
                    data = archive.extractfile(member)
                    if data:
                        yield member.name, data.read()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise RunError(
            f"{path} cannot be read as a tar of pictures ({type(error).__name__}); get the file again."
        ) from error
