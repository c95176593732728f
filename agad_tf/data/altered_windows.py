"""Local anomalies in whole images, to measure how well each scale finds them."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from agad_tf.data.crops import Size
from agad_tf.data.local_anomalies import add_local_anomalies


def alter_windows(images: np.ndarray, crop: Size, sizes: Sequence[Size], rng: np.random.Generator) -> np.ndarray:
    """Adds a local anomaly to one window of each image; the window shows as much as a training crop at a random scale.

    Args:
        images: normal ones, float32 (images, height, width, 1 or 3) in [-1, 1].
        crop: height and width of training crops in pixels.
        sizes: sizes of the images at the scales, from `sizes_at_scales`.
        rng: chooses windows and anomalies.

    Returns:
        The altered images, of the same shape and range.
    """
    altered, partners = images.copy(), np.roll(images, 1, axis=0)
    for result, partner in zip(altered, partners, strict=True):
        scaled = sizes[int(rng.integers(len(sizes)))]
        rows, columns = (
            _random_part(side, min(side, round(side * of_crop / of_scale)), rng)
            for side, of_crop, of_scale in zip(images.shape[1:3], crop, scaled, strict=True)
        )
        window, other = (tf.constant(each[np.newaxis, rows, columns]) for each in (result, partner))
        made, _ = add_local_anomalies(window, other, rng.integers(2**31 - 1, size=1, dtype=np.int32))
        result[rows, columns] = made[0]
    return altered


def _random_part(side: int, length: int, rng: np.random.Generator) -> slice:
    start = rng.integers(side - length + 1)
    return slice(start, start + length)
