"""Users' own image files, in folders or listed in a CSV, as the fields of a `Source` by name.

A set may have only one class, the normal class.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agad_tf.config.errors import UsageError
from agad_tf.data.image_folders import list_folder, require_classes_right_below
from agad_tf.data.image_lists import list_csv
from agad_tf.data.images_in_files import Pictures, channels_of
from agad_tf.data.preprocessing import ImageSize
from agad_tf.data.readers import PICTURE_SUFFIXES
from agad_tf.data.set_names import NORMAL_TEST_SHARE, checksum, class_order, normal_name

# The share of abnormal images for testing in a set without parts; few are needed for training.
ABNORMAL_TEST_SHARE = 0.5
# Files that are not a CSV, by extension, and what to do with them.
_NO_LISTS = {
    ".npz": "an array file; read it with --dataset=npz",
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "a spreadsheet; save it as CSV"),
    **dict.fromkeys(PICTURE_SUFFIXES, "a single image; name the folder that holds it"),
    **dict.fromkeys(
        (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"), "an archive; unpack it and name its folder"
    ),
}


def read_own_pictures(path: Path, image_size: ImageSize, normal_class: int | str = 0) -> dict[str, Any]:
    """Finds the images of a folder or a CSV; none is decoded yet.

    Args:
        path: a CSV with the columns path (relative to the CSV), label and, optional, split and mask; or a folder with
            `<class>/…`, or with `train/<class>/…`, `test/<class>/…` and, optional, `val/<class>/…` and
            `ground_truth/<class>/<name>_mask.png`, see `agad_tf.data.masks`. Images may lie in folders of any depth
            below that of the class. Without a column label, or if all images are directly in the folder, all belong to
            the class "good".
        image_size: side in pixels that they are resized to when they are used.
        normal_class: the class that is normal, by number or name, because most of its images are used for training.

    Returns:
        Fields of a `Source`. Class numbers follow the alphabet, except that one of `NORMAL_NAMES` is 0. A set without
        parts is divided by file names, so a file always belongs to the same part. If the test part has no normal
        images, those of the training part are divided in the same way.

    Raises:
        UsageError: there are no images, or not in one of these layouts.
        RunError: the CSV cannot be read, or names files that are not there.
    """
    if path.is_file() and path.suffix.lower() in _NO_LISTS:
        raise UsageError(f"--data_dir={path} is {_NO_LISTS[path.suffix.lower()]}.")
    listed, note = list_csv(path) if path.is_file() else list_folder(path, normal_class)
    names = class_order(listed["label"].unique())
    if path.is_dir():
        require_classes_right_below(path, listed, normal_class)
    listed["split"], held_out = _all_parts(path, listed, normal_name(names, normal_class))
    channels = channels_of(listed["file"].tolist())
    fields: dict[str, Any] = {"class_names": names, "note": " ".join(filter(None, (note, held_out)))}
    for split in ("train", "test", "val"):
        part = listed[listed["split"] == split]
        if len(part):
            fields[f"x_{split}"] = Pictures(part["file"].tolist(), channels, image_size)
            fields[f"y_{split}"] = part["label"].map(names.index).to_numpy(np.int64)
    test = listed[listed["split"] == "test"]
    fields["test_names"] = tuple(test["name"])
    fields["has_masks"] = bool(listed.attrs.get("has_masks")) or any(listed["mask"])
    for split in ("train", "test"):
        masks = listed["mask"][listed["split"] == split]
        fields[f"{split}_masks"] = {row: tuple(map(Path, files)) for row, files in enumerate(masks) if files}
    return fields


def _all_parts(path: Path, listed: pd.DataFrame, normal: str) -> tuple[pd.Series, str]:
    """The part of every image, with held-out normal test images if there were none; and a note for the user."""
    split, parts, note = listed["split"].copy(), set(listed["split"]), ""
    of_train = split == "train"
    if parts == {""}:
        split = _divide(listed, normal)
    elif parts <= {"train", "val"} and of_train.any() and listed["label"].nunique() == 1:
        split[of_train] = _divide(listed[of_train], normal)
    elif "" in parts or not {"train", "test"} <= parts:
        found = ", ".join(f"{sum(split == part)} for {part or 'no part'}" for part in sorted(parts))
        way_out = " Rename its part val to test." if parts == {"train", "val"} else ""
        raise UsageError(
            f"{path} has images {found}; give some for both train and test, or do not divide the set. A set may lack a "
            f"test part only if it has one class.{way_out}"
        )
    elif not ((split == "test") & (listed["label"] == normal)).any():
        chosen = of_train & (listed["label"] == normal)
        split[chosen] = _divide(listed[chosen], normal)
        note = (
            f"{path} has no images of class {normal} for testing: {sum(chosen & (split == 'test'))} of {sum(chosen)} "
            "are held out from its training part instead."
        )
    if not {"train", "test"} <= set(split):
        raise UsageError(
            f"{path} has {len(listed)} images, which are too few to divide for training and testing; add images."
        )
    return split, note


def _divide(listed: pd.DataFrame, normal: str) -> pd.Series:
    """Train or test for every image, by a checksum of its name.

    So the division does not depend on the seed, and adding an image moves few others.
    """
    order = listed["name"].map(checksum)
    rank = order.groupby(listed["label"]).rank(method="first") - 1
    share = np.where(listed["label"] == normal, NORMAL_TEST_SHARE, ABNORMAL_TEST_SHARE)
    count = listed.groupby("label")["label"].transform("count")
    return pd.Series(np.where(rank < np.ceil(count * share), "test", "train"), index=listed.index)
