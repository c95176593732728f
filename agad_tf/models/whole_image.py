"""How unusual an image is as a whole, at low resolution: what the peak of a map does not see.

The light of an image is taken away: its mean and its deviation, over all of it. What is left is compared with normal
images by their covariance (Ledoit and Wolf 2004), on a coarse and on a finer grid.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from sklearn.covariance import LedoitWolf

from agad_tf.data.crops import at_size
from agad_tf.models.scores import mahalanobis_norm, whitening_of

# Sides of the grids that an image is looked at by.
GRIDS = (8, 16)
# Added to an image's deviation, so that the noise of an empty one is not blown up; images range over [-1, 1].
LEAST_CONTRAST = 0.05
# Normal images are left out by so many parts in turn, to learn how far one is that has not been seen.
FOLDS = 5
_LEAST = 1e-4


def features(images: Any, grid: int) -> Any:
    """An image at low resolution without its light, float (images, grid²·channels)."""
    small = at_size(images, (grid, grid))
    mean = ops.mean(small, axis=(1, 2, 3), keepdims=True)
    deviation = ops.sqrt(ops.mean(ops.square(small - mean), axis=(1, 2, 3), keepdims=True))
    return ops.reshape((small - mean) / (deviation + LEAST_CONTRAST), (-1, grid**2 * images.shape[-1]))


def looks_at(images: Any) -> list[np.ndarray]:
    """The `features` of images by each grid, float32 (images, grid²·channels) each."""
    return [np.asarray(features(images, grid)) for grid in GRIDS]


class WholeImage:
    """The distance from normal images, and what is usual of it.

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
        """How far an image is from normal ones, float (images,), in deviations from what is usual; higher is farther.

        Args:
            images: float (images, height, width, channels) in [-1, 1].
        """
        scores = []
        for grid in GRIDS:
            mean, whitening, usual = (self.statistics[f"{name}_{grid}"] for name in ("mean", "whitening", "usual"))
            scores.append((mahalanobis_norm(features(images, grid), mean, whitening) - usual[0]) / usual[1])
        return sum(scores) / len(GRIDS)

    def fit(self, looks: Sequence[np.ndarray]) -> np.ndarray:
        """Learns what is usual.

        Args:
            looks: by `looks_at`, of 4 or more normal images. Since no gradient comes from this part, those that the
                networks were trained on are as good as others.

        Returns:
            The score of each image by the others, float (images,).
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
    """How far each row is from the others, float (rows,), the others being all but a fold."""
    fold = np.arange(len(rows)) % min(FOLDS, len(rows))
    norms = np.zeros(len(rows))
    for each in range(fold.max() + 1):
        norms[fold == each] = mahalanobis_norm(rows[fold == each], *_fit(rows[fold != each]))
    return norms


def _fit(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and whitening for `mahalanobis_norm`, float32 (n,) and (n, n)."""
    found = LedoitWolf(store_precision=False).fit(rows.astype(np.float64))
    return found.location_.astype(np.float32), whitening_of(found.covariance_)
