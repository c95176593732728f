"""A score for small flaws: the peaks of maps at several scales, and a comparison of the whole image.

A flaw that covers 0.3 % of an image has little effect on a norm over all of it. Maps are therefore standardised by
those of normal images, and their highest value counts. One part of the score compares the whole image at low
resolution. Each part is standardised again by its values on normal images that were not trained on, so that parts can
be compared. The weight of a scale depends on how well its maps find local anomalies that are added to these images.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from agad_tf.models.whole_image import WholeImage

# σ in pixels, at its own scale, of the Gaussian that smooths a map.
SMOOTHING = 1.5
# The kinds of maps, and the part for the whole image.
KINDS, WHOLE = ("residual", "segmentation"), "whole"
# Statistics are kept for each pixel if they make other images more likely by at least this, in nats per pixel.
LEAST_GAIN = 0.02
# The weight of a scale is 2·AUROC − 1 of its better map on local anomalies, to this power.
WEIGHT_POWER = 2
_LEAST_DEVIATION = 1e-4
# The statistics of all pixels are added to those of a pixel with the weight of this many images.
_PRIOR_IMAGES = 10
# Deviation of the peaks of a random map, in deviations of its pixels: the prior for few images.
_PRIOR_SPREAD, _PRIOR_PARTS = 0.5, 4

Size = tuple[int, int]


def part_names(scales: Sequence[int], kinds: int) -> tuple[str, ...]:
    """The parts of the score, in order: each kind of map at each scale, then the whole image."""
    return (*(f"{kind}_{scale}" for scale in scales for kind in KINDS[:kinds]), WHOLE)


def smoothed(maps: Any) -> Any:
    """Smooths maps, float (images, height, width, kinds), by a Gaussian of `SMOOTHING` pixels, mirrored at edges."""
    line = _gaussian()
    reach, kinds = len(line) // 2, maps.shape[-1]
    padded = tf.pad(maps, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="SYMMETRIC")
    for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
        kernel = tf.constant(np.tile(line.reshape(shape), (1, 1, kinds, 1)))
        padded = tf.nn.depthwise_conv2d(padded, kernel, (1, 1, 1, 1), "VALID")
    return padded


@lru_cache
def _gaussian() -> np.ndarray:
    """SciPy's filter, float32 (odd,)."""
    impulse = np.zeros(2 * round(4 * SMOOTHING) + 1)
    impulse[len(impulse) // 2] = 1
    return ndimage.gaussian_filter1d(impulse, SMOOTHING).astype(np.float32)


class PeakScore:
    """The score and its map, with statistics of normal images.

    Args:
        add_weight: of the model that keeps the statistics.
        shape: height, width and channels of the images that are scored.
        sizes: height and width of the maps at each scale, from the finest.
        kinds: 1, only residuals, or 2, with segmentation maps.
        aligned: "yes" for statistics of each pixel; "no" for statistics of all pixels; "auto" chooses by normal images.
    """

    def __init__(
        self,
        add_weight: Callable[..., keras.Variable],
        shape: tuple[int, int, int],
        sizes: Sequence[Size],
        kinds: int = 2,
        aligned: str = "auto",
    ):
        self.size, self.aligned = shape[:2], aligned
        unknown = keras.initializers.Constant(float("nan"))
        self.map_statistics = [
            [
                add_weight((*size, kinds), initializer=unknown, trainable=False, name=f"map_{name}_{place}")
                for name in ("mean", "deviation")
            ]
            for place, size in enumerate(sizes)
        ]
        parts = kinds * len(sizes) + 1
        self.part_mean, self.part_deviation = (
            add_weight((parts,), initializer=unknown, trainable=False, name=f"part_{name}")
            for name in ("mean", "deviation")
        )
        self.scale_weights = add_weight((len(sizes),), initializer=unknown, trainable=False, name="scale_weights")
        self.whole = WholeImage(add_weight, shape[2])

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables that `fit` sets."""
        maps = [variable for pair in self.map_statistics for variable in pair]
        return [*maps, self.part_mean, self.part_deviation, self.scale_weights, *self.whole.statistics.values()]

    def standardized_parts(self, images: Any, maps: Sequence[Any]) -> Any:
        """The parts, standardised by their values on normal images, float (images, parts).

        Args:
            images: float (images, height, width, channels) in [-1, 1].
            maps: at each scale, float (images, height, width, kinds), as a network gives them.

        Returns:
            The peaks of all maps, and the score of the whole image.
        """
        return self._standardized_parts(images, self._standardized_maps(maps))

    def score(self, images: Any, maps: Sequence[Any]) -> Any:
        """The score from all parts, float (images,); higher is more abnormal."""
        return combined(self.standardized_parts(images, maps), self.scale_weights)

    def score_and_map(self, images: Any, maps: Sequence[Any]) -> tuple[Any, Any]:
        """The score and the map whose peak is its local part.

        Args:
            images: float (images, height, width, channels) in [-1, 1].
            maps: at each scale, float (images, height, width, kinds), as a network gives them.

        Returns:
            `score`, and the maximum over all maps, float (images, height, width), at least 0. Each map is in the units
            of its part, times the cube root of the weight of its scale.
        """
        standardized = self._standardized_maps(maps)
        units = (ops.split(each[:-1], len(maps)) for each in (self.part_mean, self.part_deviation))
        weights = ops.split(ops.power(self.scale_weights, 1 / 3), len(maps))
        highest = [
            _positive(ops.max((each - mean) / deviation, axis=-1, keepdims=True)) * weight
            for each, mean, deviation, weight in zip(standardized, *units, weights, strict=True)
        ]
        error_map = reduce(ops.maximum, (tf.image.resize(each, self.size) for each in highest))[..., 0]
        return combined(self._standardized_parts(images, standardized), self.scale_weights), error_map

    def fit(
        self,
        looks: Sequence[np.ndarray],
        maps: Sequence[Sequence[np.ndarray]],
        altered: Sequence[Sequence[np.ndarray]] | None = None,
    ) -> None:
        """Learns the statistics of normal images, and the weights of scales.

        Args:
            looks: of normal images, at least 4; see `agad_tf.models.whole_image.looks_at`.
            maps: of normal images that were not trained on, at least 4; at each scale, batches of float (images,
                height, width, kinds), as a network gives them. The statistics of one half of the images standardise the
                maps of the other half.
            altered: maps of the first of these images, in the same order, after local anomalies were added; None gives
                all scales the same weight.
        """
        whole = self.whole.fit(looks)
        means: list[float] = []
        deviations: list[float] = []
        found: list[float] = []
        for scale, (mean, deviation) in enumerate(self.map_statistics):
            smooth = np.concatenate([smoothed(batch) for batch in maps[scale]])
            halves = smooth[::2], smooth[1::2]
            by_place = [self._place_counts(*(half[..., kind] for half in halves)) for kind in range(smooth.shape[-1])]
            usual_of_others = [_usual(other, by_place) for other in halves[::-1]]
            peaks = _peaks(smooth, usual_of_others)
            means.extend(np.mean(peaks, axis=0))
            deviations.extend(_deviation(peaks))
            if altered is not None:
                peaks_of_altered = _peaks(
                    np.concatenate([smoothed(batch) for batch in altered[scale]]), usual_of_others
                )
                found.append(max(map(_found, peaks.T, peaks_of_altered.T)))
            for variable, value in zip((mean, deviation), _usual(smooth, by_place), strict=True):
                variable.assign(value)
        self.part_mean.assign(np.array([*means, whole.mean()], np.float32))
        self.part_deviation.assign(np.array([*deviations, max(whole.std(), _LEAST_DEVIATION)], np.float32))
        self.scale_weights.assign(np.ones(len(maps)) if altered is None else _weights(np.array(found), len(smooth)))

    def _standardized_parts(self, images: Any, standardized_maps: Sequence[Any]) -> Any:
        peaks = [ops.max(each, axis=(1, 2)) for each in standardized_maps]
        parts = ops.concatenate([*peaks, self.whole.score(images)[:, None]], axis=1)
        return (parts - self.part_mean) / self.part_deviation

    def _standardized_maps(self, maps: Sequence[Any]) -> list[Any]:
        """Maps, standardised by the statistics of normal images, in the same shapes."""
        return [
            (smoothed(each) - mean) / deviation
            for each, (mean, deviation) in zip(maps, self.map_statistics, strict=True)
        ]

    def _place_counts(self, maps: np.ndarray, others: np.ndarray) -> bool:
        """Whether to use statistics of each pixel, by maps of one kind, float (images, height, width).

        Unless the user has chosen, statistics of one half are tried on the other half, both as normal distributions:
        those of each pixel fit better if images are aligned, like parts in a fixture, those of all pixels on a surface.

        Args:
            maps: of one half of the images.
            others: of the other half.
        """
        if self.aligned != "auto":
            return self.aligned == "yes"
        overall, own = (
            np.mean([_likelihood(pair[0], *_usual(pair[1], [place])) for pair in ((maps, others), (others, maps))])
            for place in (False, True)
        )
        return bool(own > overall + LEAST_GAIN)


def combined(parts: Any, scale_weights: Any) -> Any:
    """One score of standardised parts, float (images,); higher is more abnormal.

    Args:
        parts: float (images, parts), in the order of `part_names`.
        scale_weights: float (scales,) in [0, 1].

    Returns:
        The cubic mean: all maps together count as much as the whole image, and the largest deviation counts most.
    """
    cubes = ops.power(_positive(parts), 3)
    scales = scale_weights.shape[0]
    by_scale = ops.mean(ops.reshape(cubes[:, :-1], (-1, scales, (parts.shape[1] - 1) // scales)), axis=2)
    maps = ops.sum(by_scale * scale_weights, axis=1) / ops.sum(scale_weights)
    return ops.power(maps + cubes[:, -1], 1 / 3)


def _positive(parts: Any) -> Any:
    """Softplus: parts below the mean of normal images count little. Otherwise a smooth image could hide any flaw."""
    # LiteRT's own is infinite from 88 on, and ONNX has no log1p.
    return ops.maximum(parts, 0.0) + ops.log(1 + ops.exp(-ops.abs(parts)))


def _found(peaks: np.ndarray, peaks_of_altered: np.ndarray) -> float:
    """How well the peaks of a map separate images with local anomalies from those without: 2·AUROC − 1, at least 0."""
    both = np.concatenate([peaks, peaks_of_altered])
    if not np.isfinite(both).all():
        return 0.0  # a network that diverged; its scores are not finite either
    labels = np.repeat([0, 1], [len(peaks), len(peaks_of_altered)])
    return max(0.0, 2 * float(roc_auc_score(labels, both)) - 1)


def _weights(found: np.ndarray, images: int) -> np.ndarray:
    """Weights of scales, float32 (scales,) in [0, 1], from `_found`; with few images they are shrunk to their mean."""
    found = (images * found + _PRIOR_IMAGES * found.mean()) / (images + _PRIOR_IMAGES)
    if not found.any():
        return np.ones(len(found), np.float32)
    return ((found / found.max()) ** WEIGHT_POWER).astype(np.float32)


def _usual(maps: np.ndarray, by_place: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each kind of map, for each pixel or for all pixels; float32 (height, width, kinds)."""
    maps = maps if maps.ndim == 4 else maps[..., np.newaxis]
    means, deviations = [], []
    for own, place in zip(np.moveaxis(maps, -1, 0), by_place, strict=True):
        mean, variance = np.full(own.shape[1:], own.mean()), np.full(own.shape[1:], own.var())
        if place:
            # With few images, a pixel's variance is shrunk towards that of all pixels.
            weight = len(own) / (len(own) + _PRIOR_IMAGES)
            mean = own.mean(axis=0)
            variance = ndimage.gaussian_filter(weight * own.var(axis=0) + (1 - weight) * own.var(), 2)
        means.append(mean)
        deviations.append(np.maximum(np.sqrt(variance), _LEAST_DEVIATION))
    return np.stack(means, axis=-1).astype(np.float32), np.stack(deviations, axis=-1).astype(np.float32)


def _likelihood(maps: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> float:
    """Mean log-likelihood of pixels, in nats, without its constant."""
    return float(-(np.log(deviation) + ((maps[..., np.newaxis] - mean) / deviation) ** 2 / 2).mean())


def _peaks(maps: np.ndarray, usual: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Standardised peaks, float (images, kinds), by a mean and deviation for even images, and one for odd images."""
    peaks = np.empty((len(maps), maps.shape[-1]), np.float32)
    for half, (mean, deviation) in enumerate(usual):
        peaks[half::2] = ((maps[half::2] - mean) / deviation).max(axis=(1, 2))
    return peaks


def _deviation(peaks: np.ndarray) -> np.ndarray:
    """Deviation of peaks, float (images, kinds): float (kinds,), shrunk towards a prior if images are few."""
    variance = (len(peaks) * peaks.var(axis=0) + _PRIOR_PARTS * _PRIOR_SPREAD**2) / (len(peaks) + _PRIOR_PARTS)
    return np.maximum(np.sqrt(variance), _LEAST_DEVIATION)
