"""Scores that find what is small: the peak of a map, beside a look at the whole, each by what is usual.

A flaw that covers 0.3 % of an image vanishes in a norm over all of it. Maps are therefore standardised by what normal
images show there, and their highest value counts. One part of the score looks at the whole image at low resolution.
Each part is standardised again by its values on normal images, so that the part that deviates most decides.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from scipy import ndimage

from agad_tf.models.scores import fit_mahalanobis, mahalanobis_norm

# σ in pixels of the Gaussian that smooths maps.
SMOOTHING = 1.5
# Side of the grid that the whole image is looked at by.
WHOLE = 16
PARTS = ("residual", "segmentation", "whole")
# A position counts where a pixel's own statistics make other images more likely by so much, in nats a pixel.
LEAST_GAIN = 0.02
_LEAST_DEVIATION = 1e-4

ImagesAndMaps = tuple[np.ndarray, np.ndarray]
"""Images, float (images, height, width, channels) in [-1, 1], and their maps of residuals and verdicts."""


def smoothed(maps: Any) -> Any:
    """Smooths maps, float (images, height, width, kinds), by a Gaussian of `SMOOTHING` pixels, mirrored at edges."""
    kernel = _gaussian()
    radius = len(kernel) // 2
    maps = tf.pad(maps, ((0, 0), (radius, radius), (radius, radius), (0, 0)), "SYMMETRIC")
    for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
        each = tf.tile(tf.reshape(kernel, shape), (1, 1, maps.shape[-1], 1))
        maps = tf.nn.depthwise_conv2d(maps, each, (1, 1, 1, 1), "VALID")
    return maps


@lru_cache
def _gaussian() -> np.ndarray:
    """The weights of pixels in a row, as far as 4 σ."""
    radius = int(4 * SMOOTHING + 0.5)
    return ndimage.gaussian_filter1d(np.eye(2 * radius + 1)[radius], SMOOTHING, mode="constant").astype(np.float32)


def whole_features(images: Any) -> Any:
    """An image at low resolution, float (images, `WHOLE`²·channels)."""
    small = tf.image.resize(images, (WHOLE, WHOLE), method="area")
    return ops.reshape(small, (-1, WHOLE**2 * images.shape[-1]))


class PeakScore:
    """The score and its map, with what is usual among normal images.

    Args:
        add_weight: of the model that keeps the statistics.
        shape: height, width and channels of the images that are scored.
    """

    def __init__(self, add_weight: Callable[..., keras.Variable], shape: tuple[int, int, int]):
        height, width, channels = shape
        features = WHOLE**2 * channels
        shapes = {
            "map_mean": (height, width, 2),
            "map_deviation": (height, width, 2),
            "whole_mean": (features,),
            "whole_whitening": (features, features),
            "part_mean": (len(PARTS),),
            "part_deviation": (len(PARTS),),
        }
        unknown = keras.initializers.Constant(float("nan"))
        self.statistics = {
            name: add_weight(each, initializer=unknown, trainable=False, name=name) for name, each in shapes.items()
        }

    def standardized_maps(self, maps: Any) -> Any:
        """Maps of residuals and verdicts, float (images, height, width, 2), in deviations from what is usual there."""
        return (smoothed(maps) - self.statistics["map_mean"]) / self.statistics["map_deviation"]

    def parts(self, images: Any, maps: Any) -> Any:
        """Each part of the score, float (images, 3): the peaks of both maps, and how unusual the whole image is."""
        peaks = ops.max(self.standardized_maps(maps), axis=(1, 2))
        whole = mahalanobis_norm(
            whole_features(images), self.statistics["whole_mean"], self.statistics["whole_whitening"]
        )
        return ops.concatenate([peaks, whole[:, None]], axis=1)

    def standardized_parts(self, images: Any, maps: Any) -> Any:
        """The parts in deviations from their means over normal images, float (images, 3)."""
        return (self.parts(images, maps) - self.statistics["part_mean"]) / self.statistics["part_deviation"]

    def score(self, images: Any, maps: Any) -> Any:
        """The part that deviates most, float (images,); higher is more abnormal."""
        return ops.max(self.standardized_parts(images, maps), axis=1)

    def fit(
        self, seen: Iterable[tuple[np.ndarray, np.ndarray]], unseen: Iterable[tuple[np.ndarray, np.ndarray]]
    ) -> None:
        """Learns what is usual.

        Args:
            seen: batches of normal images and their maps, for the whole image's distribution.
            unseen: batches of normal images, and their maps, that no gradient came from: half of them for what is usual
                in each pixel, half for what is usual of the parts.
        """
        whole = np.concatenate([whole_features(images) for images, _ in seen])
        self._assign(whole_mean=fit_mahalanobis(whole)[0], whole_whitening=fit_mahalanobis(whole)[1])
        batches = list(unseen)
        images = np.concatenate([images for images, _ in batches])
        maps = np.concatenate([smoothed(maps) for _, maps in batches])
        raw = np.concatenate([np.asarray(maps) for _, maps in batches])
        first, second = np.arange(len(maps)) % 2 == 0, np.arange(len(maps)) % 2 == 1
        self._assign(**_usual(maps[first], maps[second]))
        parts = self.parts(images[second], raw[second]).numpy()
        self._assign(part_mean=parts.mean(axis=0), part_deviation=np.maximum(parts.std(axis=0), _LEAST_DEVIATION))

    def _assign(self, **values: np.ndarray) -> None:
        for name, value in values.items():
            self.statistics[name].assign(value)


def _usual(maps: np.ndarray, others: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and deviation of maps in each pixel, or of all pixels alike where position says nothing.

    Which of the two is decided by normal images: whichever makes other maps more likely, as normal distributions. Where
    images are aligned, as a part in a fixture, that is each pixel's own; for a surface it is that of all pixels.
    """
    chosen: dict[str, list[np.ndarray]] = {"map_mean": [], "map_deviation": []}
    for kind in range(maps.shape[-1]):
        own, test = maps[..., kind], others[..., kind]
        overall = (np.full(own.shape[1:], own.mean()), np.full(own.shape[1:], own.std()))
        # Few images say little of a pixel: its variance is drawn towards that of all.
        weight = len(own) / (len(own) + 10)
        variance = weight * own.var(axis=0) + (1 - weight) * own.var()
        each = (own.mean(axis=0), np.sqrt(ndimage.gaussian_filter(variance, 2)))
        candidates = [(mean, np.maximum(deviation, _LEAST_DEVIATION)) for mean, deviation in (overall, each)]
        likelihood = [-(np.log(s) + ((test - m) / s) ** 2 / 2).mean() for m, s in candidates]
        mean, deviation = candidates[int(likelihood[1] > likelihood[0] + LEAST_GAIN)]
        chosen["map_mean"].append(mean)
        chosen["map_deviation"].append(deviation)
    return {name: np.stack(values, axis=-1).astype(np.float32) for name, values in chosen.items()}
