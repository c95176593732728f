"""Windows: parts of large images, from which training takes its crops.

A training step uses only 64×64 pixels of an image of 12 megapixels, or 256×256 pixels averaged down to 64×64. A batch
of whole images would take gigabytes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from agad_tf.data.masks import masks_at_size

Size = tuple[int, int]

# Images with more pixels are cut into windows.
LARGEST_WHOLE = 2**20
# Number of windows of all images together, if each image has at least one: 3 GiB at 256×256 pixels in colour.
WINDOWS = 4096
# An image has at most this many times the number of windows that would cover it.
_TIMES_COVERED = 2


def window_of(image: Size, crop: Size, coarsest: int) -> Size | None:
    """Size of windows: the area that a crop at the coarsest scale covers.

    Args:
        image: height and width of the images in pixels.
        crop: height and width of the networks' input in a training step.
        coarsest: factor by which images are shrunk at the coarsest scale.

    Returns:
        Height and width in pixels, or None if images are small enough for training on whole images.
    """
    height, width = (min(side, part * coarsest) for side, part in zip(image, crop, strict=True))
    return (height, width) if math.prod(image) > LARGEST_WHOLE and (height, width) != image else None


@dataclass(frozen=True)
class Windows:
    """The windows of each image.

    Attributes:
        image: height and width of the images in pixels.
        window: height and width of the windows.
        per_image: number of windows of an image; those of image i begin at row `per_image * i`.
        corners: int (rows, 2), the upper left corner of each window.
    """

    image: Size
    window: Size
    per_image: int
    corners: np.ndarray

    @property
    def count(self) -> int:
        """Number of windows of all images."""
        return len(self.corners)

    def of_images(
        self, whole: Callable[[np.ndarray], tf.Tensor], channels: int, cached: bool
    ) -> Callable[[tf.Tensor], tf.Tensor]:
        """A function from rows to windows.

        Args:
            whole: maps rows of images, int (n,), to images, float32 (n, *image, channels).
            channels: of the images.
            cached: whether all windows are cut now, so that each image is read once. Otherwise an image is read again
                for every window of a batch.
        """

        def read(image: int) -> np.ndarray:
            return whole(np.array([image])).numpy()[0]

        if not cached:
            return self._by_row(lambda rows: self._cut(read, rows, channels), channels)
        bar = tqdm(range(self.count), "cutting windows", unit="window", delay=1, leave=False, disable=None)
        cache = self._cut(read, bar, channels)
        return self._by_row(lambda rows: cache[rows], channels)

    def of_masks(self, files: Sequence[Sequence[Path]], normals: int) -> Callable[[tf.Tensor], tf.Tensor]:
        """A function from the numbers of windows of anomalies to their masks.

        Args:
            files: of the masks of each anomaly.
            normals: number of images before the anomalies.
        """

        def read(image: int) -> np.ndarray:
            return masks_at_size([files[image - normals]], self.image)[0]

        return self._by_row(lambda rows: self._cut(read, rows + normals * self.per_image, 1), 1)

    def _cut(self, read: Callable[[int], np.ndarray], rows: Any, channels: int) -> np.ndarray:
        """Windows by their rows; for consecutive windows of an image, the image is read once."""
        height, width = self.window
        cut = np.empty((len(rows), height, width, channels), np.float32)
        image, pixels = -1, np.empty(0)
        for place, row in enumerate(rows):
            if image != row // self.per_image:
                image = row // self.per_image
                pixels = read(image)
            top, left = self.corners[row]
            cut[place] = pixels[top : top + height, left : left + width]
        return cut

    def _by_row(self, read: Callable[[np.ndarray], np.ndarray], channels: int) -> Callable[[tf.Tensor], tf.Tensor]:
        shape = (None, *self.window, channels)
        return lambda rows: tf.ensure_shape(tf.numpy_function(read, [rows], tf.float32), shape)


def plan_windows(normals: int, masks: Sequence[Sequence[Path]], image: Size, window: Size, seed: int) -> Windows:
    """Chooses windows at random. Every other window of an anomaly with a mask contains abnormal pixels.

    Args:
        normals: number of normal images, which come first.
        masks: files of the masks of each anomaly; empty if it has no mask.
        image: height and width of the images in pixels.
        window: height and width of the windows.
        seed: for the places of the windows.
    """
    covering = math.prod(math.ceil(side / part) for side, part in zip(image, window, strict=True))
    images = normals + len(masks)
    per_image = max(1, min(_TIMES_COVERED * covering, WINDOWS // images))
    rng = np.random.default_rng(seed)
    last = np.subtract(image, window)
    corners = rng.integers(0, last + 1, (images, per_image, 2))
    for place, files in enumerate(masks):
        abnormal = np.argwhere(masks_at_size([files], image)[0, ..., 0] == 1) if files else ()
        if len(abnormal):
            # The window contains this abnormal pixel, at a random position.
            pixels = abnormal[rng.integers(0, len(abnormal), (per_image + 1) // 2)]
            offsets = rng.integers(0, window, pixels.shape)
            corners[normals + place, ::2] = np.clip(pixels - offsets, 0, last)
    return Windows(image, window, per_image, corners.reshape(-1, 2))
