"""Input arrays of the estimator: shape, value range, labels, and division for validation."""

import math
import warnings
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d

from agad_tf.data.splits import ABNORMAL, NORMAL, Split, halved, held_out_count

# With fewer normal images than this, none is held out.
LEAST_TO_DIVIDE = 10
BYTE_RANGE = (0.0, 255.0)


def shape_of_image(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Height, width and channels of one image; without channels it is grey.

    Raises:
        ValueError: it is neither (height, width) nor (height, width, channels).
    """
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(
            f"The shape of an image must be (height, width) or (height, width, channels), not {tuple(shape)}."
        )
    return (*shape, 1) if len(shape) == 2 else tuple(shape)


def smallest_square(features: int) -> tuple[int, int, int]:
    """Height, width and channels of the smallest grey square that holds the given number of values."""
    side = math.isqrt(features - 1) + 1
    return side, side, 1


def value_range_of(value_range: Any, array: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest value of pixels.

    Args:
        value_range: the two, or "auto": (0, 255) for uint8, else minimum and maximum of the array.
        array: numbers of any shape.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value_range, str) and value_range == "auto":
        return BYTE_RANGE if array.dtype == np.uint8 else (float(array.min()), float(array.max()))
    try:
        low, high = map(float, value_range)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not (low < high and math.isfinite(high - low)):
        raise ValueError(f"value_range is {value_range!r}; give 'auto' or two numbers, the lower first: (0, 1).")
    return low, high


def as_bytes(array: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    """Maps the value range to [0, 255]; values beyond it stay beyond, and floats stay floats.

    Args:
        array: numbers of any shape.
        value_range: (low, high); if they are equal, their distance counts as 1.

    Returns:
        Like `array`, float32, or uint8 as it was.
    """
    if array.dtype == np.uint8 and value_range == BYTE_RANGE:
        return array
    low, high = value_range
    # float16 cannot represent all values up to 255 after scaling, and large integers need float64 before it.
    values = array.astype(np.result_type(array.dtype, np.float32))
    return ((values - low) * (BYTE_RANGE[1] / ((high - low) or 1.0))).astype(np.float32)


def warn_of_another_range(array: np.ndarray, value_range: tuple[float, float]) -> None:
    """Warns if images probably have another range than before, such as 0 to 1 instead of 0 to 255.

    Args:
        array: numbers of any shape, at least one.
        value_range: the expected (low, high).
    """
    highest, (low, high) = float(array.max()), value_range
    is_share_of_bytes = value_range == BYTE_RANGE and 0 < highest <= 1
    # Images may be brighter than those before, but not by more than the whole range.
    if is_share_of_bytes or highest > 2 * high - low:
        warnings.warn(
            f"The largest value of X is {highest:g}, but the detector takes {value_range[0]:g} to {value_range[1]:g}; "
            "give images of that range, or set value_range and fit again.",
            UserWarning,
            stacklevel=4,
        )


def is_abnormal(y: Any) -> np.ndarray:
    """Converts labels of either convention to this package's.

    Args:
        y: (n,): 0 normal and 1 abnormal, or 1 normal and -1 abnormal.

    Returns:
        int32 (n,): 0 normal, 1 abnormal.

    Raises:
        ValueError: other labels, or only 1, whose meaning is ambiguous.
    """
    labels = column_or_1d(y)
    found = set(np.unique(labels).tolist())
    if found == {1}:
        raise ValueError(
            "All labels in y are 1, which means abnormal together with 0 and normal together with -1; leave y out if "
            "all images are normal."
        )
    if found <= {NORMAL, ABNORMAL}:
        return labels.astype(np.int32)
    if found <= {-1, 1}:
        return (labels == -1).astype(np.int32)
    raise ValueError(
        f"y has the labels {sorted(found, key=str)[:5]}; Unknown label type: give 0 for normal and 1 for abnormal, "
        "or 1 for normal and -1 for abnormal."
    )


def divide(
    images: np.ndarray, labels: np.ndarray, validation_fraction: float, seed: int, with_reference: bool = False
) -> tuple[Split, Split, Split | None]:
    """Holds out the same share of images of each label for validation.

    Args:
        images: (n, height, width, channels).
        labels: int32 (n,): 0 normal, 1 abnormal.
        validation_fraction: share that is held out, in (0, 1).
        seed: for the choice of held-out images.
        with_reference: whether every other held-out normal image goes to the reference.

    Returns:
        Training and validation images, and the reference. No image is in two of them, unless there are fewer than
        `LEAST_TO_DIVIDE` normal ones: then all images are both training and validation images, and the reference is
        None.
    """
    ids = np.arange(len(images))
    if np.sum(labels == NORMAL) < LEAST_TO_DIVIDE:
        everything = Split(images, labels, ids)
        return everything, everything, None
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(images), bool)
    for label in (NORMAL, ABNORMAL):
        indices = rng.permutation(np.flatnonzero(labels == label))
        held_out[indices[: held_out_count(len(indices), validation_fraction)]] = True
    train, validation = (Split(images[rows], labels[rows], ids[rows]) for rows in (~held_out, held_out))
    return (train, *halved(validation)) if with_reference else (train, validation, None)
