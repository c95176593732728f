"""The size that the images of a set are resized to."""

import dataclasses
from typing import Any

import numpy as np
from PIL import Image

from agad_tf.config.choices import SIZE_MULTIPLE
from agad_tf.config.options import parse_image_size
from agad_tf.data.images_in_files import Images, Pictures
from agad_tf.data.preprocessing import sides_of
from agad_tf.data.sources import Source

# The headers of this many files, spread over all, are read.
_HEADERS = 100


def with_image_size(source: Source, image_size: int | str, keep_shape: bool) -> Source:
    """Determines the size to which the images of a set are resized.

    Args:
        source: the set.
        image_size: a side in pixels; height and width, such as "384x512"; or "native", the median of their own sizes.
        keep_shape: whether one side means the longer side, with the median shape of the images. Smaller images are not
            enlarged.

    Returns:
        The set with its `image_size`, height and width in multiples of 16.
    """
    height, width = np.median(_sizes(source.x_train), axis=0)
    size = fitting_size(image_size, height, width, keep_shape)
    resized: dict[str, Any] = {
        name: images.at_size(size)
        for name in ("x_train", "x_val", "x_test")
        if isinstance(images := getattr(source, name), Pictures)
    }
    return dataclasses.replace(source, image_size=size, **resized)


def fitting_size(image_size: int | str, height: float, width: float, keep_shape: bool = False) -> tuple[int, int]:
    """Height and width that images are resized to.

    Args:
        image_size: see `with_image_size`.
        height: median height of the images in pixels.
        width: median width of the images in pixels.
        keep_shape: see `with_image_size`.
    """
    wanted = parse_image_size(image_size)
    if isinstance(wanted, tuple) or (isinstance(wanted, int) and not keep_shape):
        return sides_of(wanted)
    shrink = min(1.0, wanted / max(height, width)) if isinstance(wanted, int) else 1.0
    rounded = [max(SIZE_MULTIPLE, SIZE_MULTIPLE * round(side * shrink / SIZE_MULTIPLE)) for side in (height, width)]
    return rounded[0], rounded[1]


def _sizes(images: Images) -> np.ndarray:
    """Heights and widths of some of the images, int (n, 2), from their headers."""
    if not isinstance(images, Pictures):
        return np.array([images.shape[1:3]])
    sizes = []
    for path in images.paths[:: max(1, len(images) // _HEADERS)]:
        try:
            with Image.open(path) as image:
                sizes.append((image.height, image.width))
        except Exception:
            continue
    return np.array(sizes or [sides_of(images.image_size)])
