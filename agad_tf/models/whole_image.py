"""Comparison of whole images at low resolution, for anomalies that have no peak in a map.

An image is normalised by its mean and deviation, which removes its light. The result is compared with normal images by
their covariance (Ledoit and Wolf 2004), on a coarse and on a finer grid.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from sklearn.covariance import LedoitWolf

from agad_tf.data.crops import at_size
from agad_tf.models.scores import mahalanobis_norm, whitening_of

# Sides of the grids.
GRIDS = (8, 16)
# Added to an image's deviation, so that noise in a uniform image is not amplified; images are in [-1, 1].
LEAST_CONTRAST = 0.05
# Number of folds of normal images, to measure the distance of images that were not used.
FOLDS = 5
_LEAST = 1e-4


def features(images: Any, grid: int) -> Any:
    """Images at low resolution, normalised by their light, float (images, grid²·channels)."""
    small = at_size(images, (grid, grid))
    mean = ops.mean(small, axis=(1, 2, 3), keepdims=True)
    deviation = ops.sqrt(ops.mean(ops.square(small - mean), axis=(1, 2, 3), keepdims=True))
    return ops.reshape((small - mean) / (deviation + LEAST_CONTRAST), (-1, grid**2 * images.shape[-1]))


def looks_at(images: Any) -> list[np.ndarray]:
    """The `features` of images for each grid, float32 (images, grid²·channels) each."""
    return [np.asarray(features(images, grid)) for grid in GRIDS]


class WholeImage:
    """The distance from normal images, and its statistics.

    Args:
        add_weight: of the model that keeps the statistics.
        channels: of the images.
    """

    def __init__(self, add_weight: Callable[..., keras.Variable], channels: int):
        unknown = keras.initializers.Constant(float("nan"))
        self.statistics = {}
        for grid in GRIDS:
            count = grid**2 * channels
            shapes = {"mean": (count,), "whitening": (count, count), "usual": (2,)}
            for name, shape in shapes.items():
                self.statistics[f"{name}_{grid}"] = add_weight(
                    shape, initializer=unknown, trainable=False, name=f"whole_{name}_{grid}"
                )

    def score(self, images: Any) -> Any:
        """The standardised distance from normal images, float (images,); higher is more abnormal.

        Args:
            images: float (images, height, width, channels) in [-1, 1].
        """
        scores = []
        for grid in GRIDS:
            mean, whitening, usual = (self.statistics[f"{name}_{grid}"] for name in ("mean", "whitening", "usual"))
            scores.append((mahalanobis_norm(features(images, grid), mean, whitening) - usual[0]) / usual[1])
        return sum(scores) / len(GRIDS)

    def fit(self, looks: Sequence[np.ndarray]) -> np.ndarray:
        """Learns the statistics of normal images.

        Args:
            looks: by `looks_at`, of at least 4 normal images. They may be training images, because this part is not
                trained by gradients.

        Returns:
            The score of each image with statistics of the others, float (images,).
        """
        scores = []
        for grid, rows in zip(GRIDS, looks, strict=True):
            mean, whitening = _fit(rows)
            unseen = _unseen_norms(rows)
            usual = (unseen.mean(), max(unseen.std(), _LEAST))
            for name, value in (("mean", mean), ("whitening", whitening), ("usual", usual)):
                self.statistics[f"{name}_{grid}"].assign(np.asarray(value, np.float32))
            scores.append((unseen - usual[0]) / usual[1])
        return np.mean(scores, axis=0)


def _unseen_norms(rows: np.ndarray) -> np.ndarray:
    """The distance of each row from those of other folds, float (rows,)."""
    fold = np.arange(len(rows)) % min(FOLDS, len(rows))
    norms = np.zeros(len(rows))
    for each in range(fold.max() + 1):
        norms[fold == each] = mahalanobis_norm(rows[fold == each], *_fit(rows[fold != each]))
    return norms


def _fit(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and whitening for `mahalanobis_norm`, float32 (n,) and (n, n)."""
    found = LedoitWolf(store_precision=False).fit(rows.astype(np.float64))
    return found.location_.astype(np.float32), whitening_of(found.covariance_)
