"""Random numbers by seeds, smooth noise and moved pixels, equal to the bit in any batch.

A kernel may compute roots or cosines of the last few numbers of a batch differently from the others, with another last
digit. So these come from tables, and the rest is exact arithmetic.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

# Noise is drawn in this many cells in each direction, and each becomes this many pixels of a tile.
CELLS, CELL = 16, 4
# A power of two, so that a random number becomes a row of a table without rounding.
STEPS = 1024

_ANGLES = 2 * np.pi * np.arange(STEPS) / STEPS
_COSINES, _SINES = np.cos(_ANGLES), np.sin(_ANGLES)


def uniform(seeds: tf.Tensor, shape: Sequence[int], stream: int) -> tf.Tensor:
    """Random numbers of each seed.

    Args:
        seeds: int32 (images,).
        shape: of the numbers of one seed.
        stream: the same seed has other numbers in another stream.

    Returns:
        float32 (images, *shape) in [0, 1).
    """
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform(shape, tf.stack([seed, stream])),
        seeds,
        fn_output_signature=tf.TensorSpec(shape, tf.float32),
    )


def of_table(table: np.ndarray, draws: tf.Tensor) -> tf.Tensor:
    """Values of a table by random numbers.

    Args:
        table: float (entries,).
        draws: float32 of any shape, in [0, 1).

    Returns:
        float32 of the shape of the draws, each entry as likely as the others.
    """
    return tf.gather(tf.constant(table, tf.float32), tf.cast(draws * len(table), tf.int32))


def between(least: float, most: float, draws: tf.Tensor) -> tf.Tensor:
    """Values between two limits whose logarithms are spread evenly, float32 of the shape of the draws."""
    return of_table(np.geomspace(least, most, STEPS), draws)


def direction(turns: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Cosines and sines of angles, float32 in whole turns."""
    step = tf.math.floormod(tf.cast(tf.floor(turns * STEPS), tf.int32), STEPS)
    return tf.gather(tf.constant(_COSINES, tf.float32), step), tf.gather(tf.constant(_SINES, tf.float32), step)


def noise_tiles(cells: tf.Tensor) -> tf.Tensor:
    """Makes smooth tiles of random numbers for `smooth_noise`.

    Args:
        cells: float32 (images, CELLS²) in [0, 1).

    Returns:
        float32 (images, CELLS · CELL, CELLS · CELL, 1) in [-1, 1], mostly in [-0.7, 0.7].
    """
    tiles = 2 * tf.reshape(cells, (-1, CELLS, CELLS)) - 1
    side = CELLS
    while side < CELLS * CELL:
        # Averaging twice in each direction turns the steps into a smooth spline.
        for axis in (1, 2):
            before, after = tf.roll(tiles, 1, axis), tf.roll(tiles, -1, axis)
            halves = tf.stack([0.75 * tiles + 0.25 * before, 0.75 * tiles + 0.25 * after], axis=axis + 1)
            tiles = tf.reshape(halves, (-1, 2 * side, side if axis == 1 else 2 * side))
        side *= 2
    return tiles[..., tf.newaxis]


def smooth_noise(tiles: tf.Tensor, grain: tf.Tensor, draws: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Smooth noise.

    Args:
        tiles: of `noise_tiles`.
        grain: float32 (images,), pixels from one light or dark place to the next.
        draws: float32 (images, 3) in [0, 1), how tiles are turned and shifted.
        size: height and width in pixels.

    Returns:
        float32 (images, height, width, 1) in [-1, 1].
    """
    cosine, sine = direction(draws[:, 0])
    scale, side = CELL / grain, CELLS * CELL
    matrix = (scale * cosine, -scale * sine, side * draws[:, 1], scale * sine, scale * cosine, side * draws[:, 2])
    return move(tiles, matrix, size, "BILINEAR")


def move(images: tf.Tensor, matrix: Sequence[tf.Tensor], size: tuple[int, int], interpolation: str) -> tf.Tensor:
    """Moves pixels: the one at (x, y) is taken from (a·x + b·y + s, c·x + d·y + t), with mirrored images all around.

    Args:
        images: float32 (images, height, width, channels).
        matrix: a, b, s, c, d, t, float32 (images,) each.
        size: height and width of the result.
        interpolation: "BILINEAR" or "NEAREST".

    Returns:
        float32 (images, *size, channels).
    """
    zero = tf.zeros_like(matrix[0])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([*matrix, zero, zero], axis=1),
        output_shape=size,
        interpolation=interpolation,
        fill_mode="REFLECT",
        fill_value=0.0,
    )
