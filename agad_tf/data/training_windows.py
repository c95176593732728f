"""Windows: parts of large images that training cuts its crops from.

Of an image of 12 megapixels a training step looks at 64×64 pixels, or at 256×256 that are averaged down to as many.
With whole images a batch would take gigabytes.
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

# Images of more pixels are cut into windows.
LARGEST_WHOLE = 2**20
# Of all images together, where that is more than one of each: 3 GiB at 256×256 pixels in colour.
WINDOWS = 4096
# Of one image at most so many times as many as would cover it.
_TIMES_COVERED = 2


def window_of(image: Size, crop: Size, coarsest: int) -> Size | None:
    """How large windows are: as large as what a crop at the coarsest scale shows.

    Args:
        image: height and width of the images in pixels.
        crop: height and width of what the networks see in a training step.
        coarsest: by how much images are made smaller at the coarsest scale.

    Returns:
        Height and width in pixels, or None where images are small enough to be trained on whole.
    """
    height, width = (min(side, part * coarsest) for side, part in zip(image, crop, strict=True))
    return (height, width) if math.prod(image) > LARGEST_WHOLE and (height, width) != image else None


@dataclass(frozen=True)
class Windows:
    """Which windows are cut from which image.

    Attributes:
        image: height and width of the images in pixels.
        window: height and width of the windows.
        per_image: how many windows an image has; rows `per_image * i` and those that follow are of image i.
        corners: int (rows, 2), the upper left corner of each window.
    """

    image: Size
    window: Size
    per_image: int
    corners: np.ndarray

    @property
    def count(self) -> int:
        """Of all images together."""
        return len(self.corners)

    def of_images(
        self, whole: Callable[[np.ndarray], tf.Tensor], channels: int, cached: bool
    ) -> Callable[[tf.Tensor], tf.Tensor]:
        """A function from rows to windows.

        Args:
            whole: gives of rows of images, int (n,), the images, float32 (n, *image, channels).
            channels: of the images.
            cached: whether all windows are cut now, and each image is read once. Otherwise an image is read again for
                every window of a batch.
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
            files: of the masks, of each anomaly.
            normals: how many images come before the anomalies.
        """

        def read(image: int) -> np.ndarray:
            return masks_at_size([files[image - normals]], self.image)[0]

        return self._by_row(lambda rows: self._cut(read, rows + normals * self.per_image, 1), 1)

    def _cut(self, read: Callable[[int], np.ndarray], rows: Any, channels: int) -> np.ndarray:
        """Windows by their rows, each from its image; windows of one image in a row read it once."""
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
    """Chooses windows at random. Every other window of an anomaly with a mask shows some of what is abnormal.

    Args:
        normals: number of normal images, which come first.
        masks: of each anomaly the files of its masks; none where it has no mask.
        image: height and width of the images in pixels.
        window: height and width of the windows.
        seed: of the places.
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
            # Somewhere in the window lies one of its pixels.
            pixels = abnormal[rng.integers(0, len(abnormal), (per_image + 1) // 2)]
            offsets = rng.integers(0, window, pixels.shape)
            corners[normals + place, ::2] = np.clip(pixels - offsets, 0, last)
    return Windows(image, window, per_image, corners.reshape(-1, 2))
