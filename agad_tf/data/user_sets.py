"""Users' own images: pictures in folders, a CSV that lists pictures, or an `.npz` of arrays.

Each reader returns the fields of a `Source` by name. A set may have one class only, the normal one.
"""

import math
import os
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agad_tf.config.errors import RunError, UsageError
from agad_tf.data.images_in_files import Pictures, channels_of, pictures_below
from agad_tf.data.readers import read_npz

# What the folder of normal pictures is called; it is class 0, and normal where --normal_class does not say otherwise.
NORMAL_NAMES = ("normal", "good", "ok", "healthy", "negative")
# What parts of a set are called in folders, CSV columns and arrays.
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
MASK_FOLDER = "ground_truth"
# The class of images that no folder or column gives a class.
ONLY_CLASS = "good"
# Of a set that is not divided, the test part: of normal pictures most are for training; of abnormal ones half, since
# few are needed there.
NORMAL_TEST_SHARE, ABNORMAL_TEST_SHARE = 0.2, 0.5
_IMAGES_NAME = r"(train|test|val)_images|x_(train|test|val)"

LAYOUTS = (
    "normal/ and, if you have any, abnormal/; train/good/, test/good/ and test/<defect>/; or a CSV with the columns "
    "path, label and, if you like, split"
)


def read_own_pictures(path: Path, image_size: int) -> dict[str, Any]:
    """Finds the pictures of a folder or a CSV; none is decoded yet.

    Args:
        path: a CSV with the columns path (relative to the CSV), label and, optional, split and mask; or a folder with
            `<class>/…`, or with `train/<class>/…`, `test/<class>/…` and, optional, `val/<class>/…` and
            `ground_truth/<class>/<name>_mask.png`. Pictures may lie in folders of any depth below that of the class.
            Without a column label, or where all images lie directly in the folder, all are of the class "good".
        image_size: side in pixels that they are resized to when they are used.

    Returns:
        Fields of a `Source`. Class numbers follow the alphabet, but for one of `NORMAL_NAMES`, which is 0. A set that
        is not divided is divided by the names of its files: the same files always come to lie in the same part. So is
        the training part of a set that has one class only and no test part.

    Raises:
        UsageError: there are no pictures, or not in one of these layouts.
        RunError: the CSV cannot be read, or names files that are not there.
    """
    listed, note = _read_csv(path) if path.is_file() else _list_folder(path)
    parts = set(listed["split"])
    if parts == {""}:
        listed["split"] = _divide(listed)
    elif parts <= {"train", "val"} and "train" in parts and listed["label"].nunique() == 1:
        listed.loc[listed["split"] == "train", "split"] = _divide(listed[listed["split"] == "train"])
    elif "" in parts or not {"train", "test"} <= parts:
        raise UsageError(
            f"{path} must have pictures for both train and test, or not be divided at all. Only a set of one class "
            "can do without a test part."
        )
    if not {"train", "test"} <= set(listed["split"]):
        raise UsageError(f"{path} has {len(listed)} pictures, too few to divide them for training and testing.")
    names = class_order(listed["label"].unique())
    channels = channels_of(listed["file"].tolist())
    fields: dict[str, Any] = {"class_names": names, "note": note}
    for split in ("train", "test", "val"):
        part = listed[listed["split"] == split]
        if len(part):
            fields[f"x_{split}"] = Pictures(part["file"].tolist(), channels, image_size)
            fields[f"y_{split}"] = part["label"].map(names.index).to_numpy(np.int64)
    test = listed[listed["split"] == "test"]
    fields["test_names"] = tuple(test["name"])
    fields["test_masks"] = {row: Path(mask) for row, mask in enumerate(test["mask"]) if mask}
    return fields


def class_order(names: Iterable[str]) -> tuple[str, ...]:
    """The one that is called normal first, the others by the alphabet."""
    return tuple(sorted(names, key=lambda name: (name.lower() not in NORMAL_NAMES, name)))


def _list_folder(root: Path) -> tuple[pd.DataFrame, str]:
    """The images of a folder, a row for each, and what to tell the user of how they were read."""
    rows, note = [], ""
    divided = any(folder.name.lower() in SPLITS and folder.is_dir() for folder in root.iterdir())
    inside_root = [file.relative_to(root) for file in pictures_below(root)]
    inside_root = [inside for inside in inside_root if inside.parts[0] != MASK_FOLDER]
    if inside_root and all(len(inside.parts) == 1 for inside in inside_root):
        rows = [(str(root / inside), inside.as_posix(), ONLY_CLASS, "", "") for inside in inside_root]
        note = f"{root} has no class folders: all {len(rows)} images count as normal, as class {ONLY_CLASS}."
        inside_root = []
    for inside in inside_root:
        file = root / inside
        split = SPLITS.get(inside.parts[0].lower(), "") if divided else ""
        depth = 1 if split else 0
        if len(inside.parts) < depth + 2 or (divided and not split):
            raise UsageError(f"{file} lies in no class; put pictures as {LAYOUTS}.")
        label = inside.parts[depth]
        rows.append((str(file), inside.as_posix(), label, split, _mask_of(root, label, file)))
    if not rows:
        raise UsageError(f"There are no pictures in {root}; put them as {LAYOUTS}.")
    # As objects: what pandas makes of text by default cannot hold names that are not UTF-8.
    return pd.DataFrame(rows, columns=["file", "name", "label", "split", "mask"], dtype=object), note


def _mask_of(root: Path, label: str, file: Path) -> str:
    candidates = (root / MASK_FOLDER / label / f"{file.stem}{end}" for end in ("_mask.png", ".png"))
    return next((str(mask) for mask in candidates if mask.is_file()), "")


def _read_csv(path: Path) -> tuple[pd.DataFrame, str]:
    """The images that a CSV lists, a row for each, and what to tell the user of how they were read."""
    try:
        listed = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read as a CSV ({str(error).strip()}); mend it.") from error
    columns, note = set(listed.columns), ""
    # Another column might hold the labels under a name of its own: then nothing is taken as normal.
    if "path" in columns and columns <= {"path", "split"} and not listed.empty:
        listed["label"] = ONLY_CLASS
        note = f"{path} has no column label: all {len(listed)} images count as normal, as class {ONLY_CLASS}."
    elif not {"path", "label"} <= columns or listed.empty:
        raise UsageError(
            f"{path} must have rows and the columns path and label; it has {', '.join(listed.columns)}. For normal "
            "images alone, the column path is enough."
        )
    listed = listed.reindex(columns=["path", "label", "split", "mask"], fill_value="")
    unknown = sorted(set(listed["split"].str.lower()) - {"", *SPLITS})
    if unknown:
        raise UsageError(f"{path} has the split '{unknown[0]}'; write train, val or test.")
    listed["split"] = listed["split"].str.lower().replace(SPLITS)
    for column in ("path", "mask"):
        files = [str(path.parent / name) if name else "" for name in listed[column]]
        missing = [file for file in files if file and not Path(file).is_file()]
        if missing:
            raise RunError(f"{path} names {missing[0]}, which is not there ({len(missing)} such); mend the CSV.")
        listed["file" if column == "path" else "mask"] = files
    return listed.rename(columns={"path": "name"}), note


def _divide(listed: pd.DataFrame) -> pd.Series:
    """Train or test for every picture, by a checksum of its name.

    So no seed moves pictures between the parts, and a picture that is added moves few others.
    """
    order = listed["name"].map(_checksum)
    rank = order.groupby(listed["label"]).rank(method="first") - 1
    normal = class_order(listed["label"].unique())[0]
    share = np.where(listed["label"] == normal, NORMAL_TEST_SHARE, ABNORMAL_TEST_SHARE)
    count = listed.groupby("label")["label"].transform("count")
    return pd.Series(np.where(rank < np.ceil(count * share), "test", "train"), index=listed.index)


def _checksum(name: str) -> int:
    return zlib.crc32(os.fsencode(name))


def read_own_npz(path: Path) -> dict[str, Any]:
    """Reads arrays as MedMNIST or Keras names them.

    Args:
        path: of an `.npz` with train_images, train_labels, test_images, test_labels and, optional, val_images and
            val_labels; or x_train, y_train, x_test, y_test and, optional, x_val and y_val; and class_names, optional.
            Of normal images alone, labels and test part may be missing.

    Returns:
        Fields of a `Source`. Without a test part, a fifth of the training images becomes it, chosen by position.

    Raises:
        UsageError: it is no file, or arrays are missing.
        RunError: it cannot be read, or an array is not what its name says.
    """
    if not path.is_file():
        raise UsageError(f"--data_dir={path} must be the .npz file itself for --dataset=npz.")
    arrays = read_npz(path)
    fields: dict[str, Any] = {}
    if "class_names" in arrays:
        fields["class_names"] = tuple(str(name) for name in arrays["class_names"])
    # Any other array might hold the labels under a name of its own: then nothing is taken as normal.
    without_labels = bool(arrays) and all(re.fullmatch(_IMAGES_NAME, name) for name in arrays)
    if without_labels:
        fields["note"] = f"{path} holds no labels: all images count as normal, as class 0."
    for split in ("train", "test", "val"):
        for images_name, labels_name in ((f"{split}_images", f"{split}_labels"), (f"x_{split}", f"y_{split}")):
            if images_name in arrays and (labels_name in arrays or without_labels):
                images = _images(path, images_name, arrays[images_name])
                labels = np.zeros(len(images), np.int64) if without_labels else arrays[labels_name]
                fields[f"x_{split}"] = images
                fields[f"y_{split}"] = _labels(path, labels_name, labels, len(images))
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
        raise RunError(
            f"{path}: images differ in size or channels from part to part, {sorted(shapes)}; make them alike."
        )
    return fields


def _divided(fields: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Training and test arrays of a set that has one class and no test part; empty where it cannot be divided."""
    images, labels = fields["x_train"], fields["y_train"]
    if len(images) < 2 or len(np.unique(np.concatenate([labels, fields.get("y_val", labels)]))) > 1:
        return {}
    order = np.argsort([_checksum(str(row)) for row in range(len(images))], kind="stable")
    test, train = np.split(order, [math.ceil(len(images) * NORMAL_TEST_SHARE)])
    train, test = np.sort(train), np.sort(test)
    return {"x_train": images[train], "y_train": labels[train], "x_test": images[test], "y_test": labels[test]}


def _images(path: Path, name: str, images: np.ndarray) -> np.ndarray:
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[-1] not in (1, 3):
        raise RunError(
            f"{path}: {name} is {images.dtype} {images.shape}; it must be uint8 (images, height, width) or "
            "(images, height, width, 1 or 3)."
        )
    return images


def _labels(path: Path, name: str, labels: np.ndarray, count: int) -> np.ndarray:
    if labels.size != count:
        raise RunError(
            f"{path}: {name} has shape {labels.shape} beside {count} images; one class for each image is needed."
        )
    labels = labels.reshape(-1)
    if not np.issubdtype(labels.dtype, np.integer) or labels.min(initial=0) < 0:
        raise RunError(f"{path}: {name} is {labels.dtype}; it must hold class numbers from 0.")
    return labels.astype(np.int64)
