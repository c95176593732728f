"""Users' own images as arrays in an `.npz`."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from agad_tf.config.errors import RunError, UsageError
from agad_tf.data.pixel_range import extremes_of, in_pieces, range_of
from agad_tf.data.readers import read_npz
from agad_tf.data.set_names import NORMAL_TEST_SHARE, checksum

_IMAGES_NAME = r"(train|test|val)_images|x_(train|test|val)"


def read_own_npz(path: Path) -> dict[str, Any]:
    """Reads arrays as MedMNIST or Keras names them.

    Args:
        path: of an `.npz` with train_images, train_labels, test_images, test_labels and, optional, val_images and
            val_labels; or x_train, y_train, x_test, y_test and, optional, x_val and y_val; and class_names, optional.
            For only normal images, labels and the test part may be missing.

    Returns:
        Fields of a `Source`. Without a test part, a fifth of the training images becomes the test part, chosen by
        position.

    Raises:
        UsageError: it is not a file, or arrays are missing.
        RunError: it cannot be read, or an array has a wrong type or shape.
    """
    if not path.is_file():
        raise UsageError(f"--data_dir={path} must be the .npz file itself for --dataset=npz.")
    arrays = read_npz(path)
    fields: dict[str, Any] = {}
    own_names = {}
    if "class_names" in arrays:
        fields["class_names"] = tuple(str(name) for name in arrays["class_names"])
    # Any other array might hold the labels under another name, so images do not count as normal then.
    without_labels = bool(arrays) and all(re.fullmatch(_IMAGES_NAME, name) for name in arrays)
    if without_labels:
        fields["note"] = f"{path} has no labels: all images count as normal (class 0)."
    for split in ("train", "test", "val"):
        for images_name, labels_name in ((f"{split}_images", f"{split}_labels"), (f"x_{split}", f"y_{split}")):
            if images_name in arrays and (labels_name in arrays or without_labels):
                images = _require_images(path, images_name, arrays[images_name])
                if not len(images):
                    continue
                labels = np.zeros(len(images), np.int64) if without_labels else arrays[labels_name]
                fields[f"x_{split}"] = images
                fields[f"y_{split}"] = _labels(path, labels_name, labels, len(images))
                own_names[f"x_{split}"] = images_name
    _as_pixels(path, fields, own_names)
    if "x_train" in fields and "x_test" not in fields:
        fields |= _divided(fields)
    if not {"x_train", "x_test"} <= set(fields):
        raise UsageError(
            f"{path} must hold train_images, train_labels, test_images and test_labels, or x_train, y_train, x_test "
            f"and y_test; it has {', '.join(arrays)}. Only a set of one class, with at least two images, can do "
            "without a test part."
        )
    shapes = {fields[name].shape[1:] for name in ("x_train", "x_test", "x_val") if name in fields}
    if len(shapes) > 1:
        raise RunError(f"{path}: the parts differ in image size or channels, {sorted(shapes)}; convert them to one.")
    return fields


def _divided(fields: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Training and test arrays of a set with one class and no test part; empty if it cannot be divided."""
    images, labels = fields["x_train"], fields["y_train"]
    if len(images) < 2 or len(np.unique(np.concatenate([labels, fields.get("y_val", labels)]))) > 1:
        return {}
    order = np.argsort([checksum(str(row)) for row in range(len(images))], kind="stable")
    test, train = np.split(order, [math.ceil(len(images) * NORMAL_TEST_SHARE)])
    train, test = np.sort(train), np.sort(test)
    return {"x_train": images[train], "y_train": labels[train], "x_test": images[test], "y_test": labels[test]}


def _require_images(path: Path, name: str, images: np.ndarray) -> np.ndarray:
    """Numbers (images, height, width, channels)."""
    if images.ndim == 3:
        images = images[..., np.newaxis]
    is_number = images.dtype.kind in "buif"
    if images.ndim == 4 and is_number and images.shape[1] in (1, 3) and images.shape[-1] not in (1, 3):
        raise RunError(
            f"{path}: {name} is {images.shape}, with channels first; put them last, for example with "
            f"np.moveaxis({name}, 1, -1)."
        )
    if images.ndim != 4 or not is_number or images.shape[-1] not in (1, 3):
        raise RunError(
            f"{path}: {name} is {images.dtype} {images.shape}; it must be numbers (images, height, width) or "
            "(images, height, width, 1 or 3)."
        )
    return images.astype(np.uint8) * np.uint8(255) if images.dtype.kind == "b" else images


def _as_pixels(path: Path, fields: dict[str, Any], own_names: Mapping[str, str]) -> None:
    """Converts the images of all parts to uint8 by a common range, and notes the range if it is not 0 to 255.

    Args:
        path: of the file.
        fields: whose "x_…" are changed, and "note" and "pixel_range" set.
        own_names: what the file calls each "x_…".
    """
    parts = {name: images for name, images in fields.items() if name.startswith("x_")}
    if all(images.dtype == np.uint8 for images in parts.values()):
        return
    for name, images in parts.items():
        if not np.isfinite(images).all():
            raise RunError(f"{path}: {own_names[name]} is {images.dtype} with values that are not finite.")
    kinds = ", ".join(f"{own_names[name]} {images.dtype}" for name, images in parts.items())
    if len({images.dtype.kind == "f" for images in parts.values()}) > 1:
        raise RunError(f"{path} mixes whole and floating-point numbers: {kinds}; convert them to one type.")
    if len({images.dtype == np.uint8 for images in parts.values()}) > 1 and any(
        images.max(initial=0) > np.iinfo(np.uint8).max for images in parts.values()
    ):
        raise RunError(f"{path} mixes images of 8 bits with images of more: {kinds}; convert them to one type.")
    if any(images.min(initial=0) < 0 for images in parts.values()):
        parts = {name: images.astype(np.float64) for name, images in parts.items()}
    found = [extremes_of(images) for images in parts.values() if images.size]
    pixel_range = range_of(found)
    fields |= {name: in_pieces(images, pixel_range) for name, images in parts.items()}
    # Whole numbers of 8 bits are not converted.
    said = pixel_range.sentences(found) if pixel_range.bits != 8 else []
    if said:
        fields["note"] = " ".join(filter(None, (fields.get("note", ""), *said, "The detector takes 0 to 255.")))
    fields["pixel_range"] = pixel_range


def _labels(path: Path, name: str, labels: np.ndarray, count: int) -> np.ndarray:
    if labels.ndim == 2 and len(labels) == count and labels.shape[1] > 1:
        is_one_hot = labels.dtype.kind in "buif" and np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()
        if is_one_hot:
            return labels.argmax(axis=1).astype(np.int64)
    if labels.size != count:
        raise RunError(f"{path}: {name} has shape {labels.shape} for {count} images; give one class for each image.")
    labels = labels.reshape(-1)
    is_whole = labels.dtype.kind in "bui" or (labels.dtype.kind == "f" and np.all(labels == np.floor(labels)))
    if not is_whole or labels.min(initial=0) < 0 or labels.max(initial=0) > np.iinfo(np.int64).max // 2:
        raise RunError(f"{path}: {name} is {labels.dtype}; it must hold class numbers from 0.")
    return labels.astype(np.int64)
