"""Synthetic anomalies: normal images that are rotated, warped, cut up or blended.

They replace real anomalies in training, like the paper's pseudo-anomalies. Each kind is a pure function of images and
random numbers, so any number of replicas, and a continued run, see the same.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from agad_tf.data.images_in_files import Images
from agad_tf.data.preprocessing import ImageSize, to_network_input, to_uint8

# Random numbers that are drawn for each image; no kind takes more.
DRAWS = 8
# Sides of the boxes that are pasted or erased, as shares of the image's.
SMALLEST_BOX, LARGEST_BOX = 0.2, 0.6
# Standard deviations of a warp: logarithm of either scale, shear, and shift as a share of the side.
LOG_SCALE, SHEAR, SHIFT = 0.35, 0.35, 1 / 16


def synthesize(images: tf.Tensor, partners: tf.Tensor, seeds: tf.Tensor, kinds: Sequence[str]) -> tf.Tensor:
    """Makes an anomaly from each image.

    Args:
        images: normal ones, float32 (images, side, side, channels) in [-1, 1].
        partners: other normal ones, of the same shape, that parts are taken from.
        seeds: int32 (images,), of the random numbers of each.
        kinds: of `agad_tf.config.choices.SYNTHETIC_ANOMALIES`, each as likely as the others.

    Returns:
        float32, of the same shape and range.
    """
    kind, *draws = tf.unstack(_uniform(seeds, DRAWS + 1), axis=1)
    of_kind = tf.cast(kind * len(kinds), tf.int32)
    rows = tf.dynamic_partition(tf.range(tf.size(seeds)), of_kind, len(kinds))
    made = [
        _KINDS[name](*(tf.gather(values, chosen) for values in (images, partners, tf.stack(draws, axis=1))))
        for name, chosen in zip(kinds, rows, strict=True)
    ]
    return tf.reshape(tf.dynamic_stitch(rows, made), tf.shape(images))


def synthetic_images(images: Images, image_size: ImageSize, kinds: Sequence[str]) -> np.ndarray:
    """Makes an anomaly of each image, the same at every call, to monitor training.

    Args:
        images: normal ones, uint8 (images, height, width, channels), in memory or in files.
        image_size: side of the anomalies in pixels.
        kinds: of `agad_tf.config.choices.SYNTHETIC_ANOMALIES`.

    Returns:
        uint8 (images, image_size, image_size, channels).
    """
    inputs = to_network_input(np.asarray(images), image_size)
    made = synthesize(inputs, tf.roll(inputs, 1, axis=0), tf.range(len(images)), kinds)
    return to_uint8(made)


def rotation(images: tf.Tensor, partners: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """One to three quarter turns."""
    turned = tf.stack([tf.image.rot90(images, turns) for turns in (1, 2, 3)], axis=1)
    return tf.gather(turned, tf.cast(3 * draws[:, 0], tf.int32), batch_dims=1)


def warp(images: tf.Tensor, partners: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Stretched, sheared and shifted, and half of them turned by any angle."""
    normal = tf.math.ndtri(tf.clip_by_value(draws, 1e-3, 1 - 1e-3))
    angle = tf.where(draws[:, 5] < 0.5, 2 * math.pi * draws[:, 6], 0.0)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    scale_x, scale_y, shear = tf.exp(LOG_SCALE * normal[:, 0]), tf.exp(LOG_SCALE * normal[:, 1]), SHEAR * normal[:, 2]
    a, b = cosine * scale_x, cosine * shear - sine * scale_y
    c, d = sine * scale_x, sine * shear + cosine * scale_y
    side = images.shape[1]
    centre = (side - 1) / 2
    shift_x = centre - centre * (a + b) + SHIFT * side * normal[:, 3]
    shift_y = centre - centre * (c + d) + SHIFT * side * normal[:, 4]
    return _transform(images, (a, b, shift_x, c, d, shift_y), "BILINEAR")


def cut_paste(images: tf.Tensor, partners: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """A box of the image, or of its partner, in another place."""
    box, (left, top, width, height) = _boxes(draws[:, :4], images)
    side = images.shape[1]
    shift_x = tf.floor(draws[:, 4] * (side - width + 1)) - left
    shift_y = tf.floor(draws[:, 5] * (side - height + 1)) - top
    one, zero = tf.ones_like(shift_x), tf.zeros_like(shift_x)
    sources = tf.where(draws[:, 6, tf.newaxis, tf.newaxis, tf.newaxis] < 0.5, images, partners)
    # The content of the box comes from its other place.
    moved = _transform(sources, (one, zero, shift_x, zero, one, shift_y), "NEAREST")
    return tf.where(box, moved, images)


def shuffle(images: tf.Tensor, partners: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """The four quarters in another order."""
    orders = np.array(list(itertools.permutations(range(4)))[1:], np.int32)  # the first changes nothing
    half, channels = images.shape[1] // 2, images.shape[-1]
    in_quarters = tf.transpose(tf.reshape(images, (-1, 2, half, 2, half, channels)), (0, 1, 3, 2, 4, 5))
    quarters = tf.reshape(in_quarters, (-1, 4, half, half, channels))
    order = tf.gather(orders, tf.cast(draws[:, 0] * len(orders), tf.int32))
    shuffled = tf.reshape(tf.gather(quarters, order, batch_dims=1), (-1, 2, 2, half, half, channels))
    return tf.reshape(tf.transpose(shuffled, (0, 1, 3, 2, 4, 5)), tf.shape(images))


def overlay(images: tf.Tensor, partners: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Two images in one: the mean of both, or the brighter of each two pixels."""
    brighter = draws[:, 0, tf.newaxis, tf.newaxis, tf.newaxis] < 0.5
    return tf.where(brighter, tf.maximum(images, partners), (images + partners) / 2)


def erasure(images: tf.Tensor, partners: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """A box of one grey."""
    box, _ = _boxes(draws[:, :4], images)
    return tf.where(box, 2 * draws[:, 4, tf.newaxis, tf.newaxis, tf.newaxis] - 1, images)


def _uniform(seeds: tf.Tensor, count: int) -> tf.Tensor:
    """Random numbers of each seed, float32 (seeds, count) in [0, 1)."""
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform([count], tf.stack([seed, 0])), seeds, fn_output_signature=tf.float32
    )


# By the names of `agad_tf.config.choices.SYNTHETIC_ANOMALIES`.
_KINDS = {kind.__name__: kind for kind in (rotation, warp, cut_paste, shuffle, overlay, erasure)}


def _transform(images: tf.Tensor, matrix: Sequence[tf.Tensor], interpolation: str) -> tf.Tensor:
    """Moves pixels: the one at (x, y) is taken from (a·x + b·y + s, c·x + d·y + t), outside from the nearest edge.

    Args:
        images: float32 (images, side, side, channels).
        matrix: a, b, s, c, d, t, float32 (images,) each.
        interpolation: "BILINEAR" or "NEAREST".
    """
    zero = tf.zeros_like(matrix[0])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([*matrix, zero, zero], axis=1),
        output_shape=images.shape[1:3],
        interpolation=interpolation,
        fill_mode="NEAREST",
        fill_value=0.0,
    )


def _boxes(draws: tf.Tensor, images: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
    """Boxes at random places.

    Returns:
        bool (images, side, side, 1), true within, and float (images,) each: left, top, width and height in pixels.
    """
    side = images.shape[1]
    width, height = tf.unstack(tf.round(side * (SMALLEST_BOX + (LARGEST_BOX - SMALLEST_BOX) * draws[:, :2])), axis=1)
    left, top = tf.floor(draws[:, 2] * (side - width + 1)), tf.floor(draws[:, 3] * (side - height + 1))
    x = tf.range(side, dtype=tf.float32)[tf.newaxis]
    within_x = (x >= left[:, tf.newaxis]) & (x < (left + width)[:, tf.newaxis])
    within_y = (x >= top[:, tf.newaxis]) & (x < (top + height)[:, tf.newaxis])
    return (within_y[:, :, tf.newaxis] & within_x[:, tf.newaxis, :])[..., tf.newaxis], (left, top, width, height)
