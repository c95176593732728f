"""Names of parts and classes of users' sets."""

import os
import zlib
from collections.abc import Iterable, Sequence

# Names for the folder of normal images; it is class 0, and the normal class unless --normal_class names another.
NORMAL_NAMES = ("normal", "good", "ok", "healthy", "negative")
# Names for parts of a set in folders, CSV columns and arrays.
SPLITS = {
    **{"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}
MASK_FOLDERS = ("ground_truth", "ground-truth", "ground truth", "groundtruth", "masks", "gt")
# The class of images without a class folder or label.
ONLY_CLASS = "good"
# The share of normal images for testing in a set without parts.
NORMAL_TEST_SHARE = 0.2
LAYOUTS = (
    "normal/ and, if you have any, abnormal/; train/good/, test/good/ and test/<defect>/; or a CSV with the columns "
    "path, label and, if you like, split"
)


def class_order(names: Iterable[str]) -> tuple[str, ...]:
    """The class called normal first, then the others in alphabetical order."""
    return tuple(sorted(names, key=lambda name: (name.lower() not in NORMAL_NAMES, name)))


def normal_name(names: Sequence[str], normal_class: int | str) -> str:
    """The name of the normal class.

    Args:
        names: of all classes, in the order of their numbers.
        normal_class: its name or number. If there is no such class, which is refused elsewhere, the first class is
            used.
    """
    if str(normal_class) in names:
        return str(normal_class)
    is_number = isinstance(normal_class, int) and 0 <= normal_class < len(names)
    return names[int(normal_class) if is_number else 0]


def checksum(name: str) -> int:
    """A number by which images are divided, independent of the seed."""
    return zlib.crc32(os.fsencode(name))
