"""Local synthetic anomalies: small flaws at known places in normal images, like scratches, stains and missing parts.

A flaw is a shape with other content, blended in. It is a pure function of an image, its partner and a seed, so any
number of replicas, and a continued run, see the same flaws to the bit.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from agad_tf.data import flaw_fillings, flaw_shapes
from agad_tf.data.flaw_fillings import FILLINGS, Original
from agad_tf.data.flaw_shapes import SHAPES
from agad_tf.data.random_fields import CELLS, between, noise_tiles, uniform

# A pixel counts as altered if any channel differs by more; images have a range of 2.
VISIBLE = 0.03
LEAST_OPACITY = 0.2
# Flaws are made more opaque until they differ by at least this, and by this share of the image's own range.
LEAST_CONTRAST, SHARE_OF_RANGE = 0.1, 0.15
# Width of the softest edges, as a share of the image's side.
SOFTEST = 1 / 12

# Random numbers of one image: its shape, its filling, its opacity, whether edges are soft and how much; then of these.
_PARTS = (5, flaw_shapes.DRAWS, flaw_fillings.DRAWS, CELLS * CELLS)


def add_local_anomalies(images: tf.Tensor, partners: tf.Tensor, seeds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Makes one flaw, or a few alike, in each image.

    Args:
        images: normal ones, float32 (images, height, width, 1 or 3) in [-1, 1], of 16 pixels or more each way. Height,
            width and channels are static.
        partners: other normal ones, of the same shape, that parts are taken from.
        seeds: int32 (images,), of the random numbers of each.

    Returns:
        The altered images, of the same shape and range, and masks, float32 (images, height, width, 1): 1 where any
        channel differs by more than `VISIBLE`, and 0 elsewhere, where the pixels are the image's own. The mask is empty
        if the flaw is invisible, for example when both images have the same constant colour.
    """
    height, width, channels = images.shape[1:]
    chosen, for_shape, for_filling, cells = _draws(seeds)
    tiles = noise_tiles(cells)
    shape, filling = _kinds(chosen)

    depth = _by_kind(SHAPES, shape, for_shape, tiles, size=(height, width))
    edge = between(1, max(2, SOFTEST * min(height, width)), chosen[:, 3])
    edge = tf.where(chosen[:, 2] < 0.5, 1.0, edge)
    cover = tf.clip_by_value((tf.reshape(depth, (-1, height, width, 1)) + 0.5) / _each(edge), 0, 1)
    cover = cover / tf.maximum(_greatest(cover), 1e-3)  # fully opaque at one pixel

    deepest = tf.argmax(tf.reshape(cover, (-1, height * width)), axis=1)
    within = tf.gather(tf.reshape(images, (-1, height * width, channels)), deepest, batch_dims=1)
    original = Original(images, partners, within[:, tf.newaxis, tf.newaxis], tiles, seeds)
    filled = _by_kind([_of_original(kind) for kind in FILLINGS], filling, *original, for_filling)
    filled = tf.clip_by_value(tf.reshape(filled, tf.shape(images)), -1, 1)
    change = cover * (filled - images)

    contrast = LEAST_CONTRAST + SHARE_OF_RANGE * (_greatest(images) + _greatest(-images))
    opacity = _each(LEAST_OPACITY + (1 - LEAST_OPACITY) * chosen[:, 4])
    opacity = tf.minimum(tf.maximum(opacity, contrast / tf.maximum(_greatest(tf.abs(change)), 1e-3)), 1)
    made = tf.clip_by_value(images + opacity * change, -1, 1)
    altered = tf.reduce_max(tf.abs(made - images), axis=-1, keepdims=True) > VISIBLE
    return tf.where(altered, made, images), tf.cast(altered, tf.float32)


def kinds_of(seeds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Which shape and which filling the flaw of each seed has.

    Args:
        seeds: int32 (images,).

    Returns:
        int32 (images,) each, in the order of `SHAPES` and of `FILLINGS`.
    """
    return _kinds(_draws(seeds)[0])


def _draws(seeds: tf.Tensor) -> list[tf.Tensor]:
    """The random numbers of each image, in parts."""
    return tf.split(uniform(seeds, [sum(_PARTS)], stream=1), _PARTS, axis=1)


def _kinds(chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Shapes and fillings by random numbers, each as likely as the others."""
    return tf.cast(chosen[:, 0] * len(SHAPES), tf.int32), tf.cast(chosen[:, 1] * len(FILLINGS), tf.int32)


def _of_original(filling: Callable[[Original, tf.Tensor], tf.Tensor]) -> Callable[..., tf.Tensor]:
    """A filling that takes the parts of the original one by one."""
    return lambda *values: filling(Original(*values[:-1]), values[-1])


def _by_kind(kinds: Sequence[Callable[..., tf.Tensor]], of_kind: tf.Tensor, *values: Any, **options: Any) -> tf.Tensor:
    """Applies to each row the function of its kind, and restores the order of rows."""
    rows = tf.dynamic_partition(tf.range(tf.size(of_kind)), of_kind, len(kinds))
    made = [
        kind(*(tf.gather(value, chosen) for value in values), **options)
        for kind, chosen in zip(kinds, rows, strict=True)
    ]
    return tf.dynamic_stitch(rows, made)


def _greatest(images: tf.Tensor) -> tf.Tensor:
    """The greatest value of each image, float32 (images, 1, 1, 1)."""
    return tf.reduce_max(images, axis=(1, 2, 3), keepdims=True)


def _each(values: tf.Tensor) -> tf.Tensor:
    """One value for each image, in a shape that broadcasts to images."""
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]
