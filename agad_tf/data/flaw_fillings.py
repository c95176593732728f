"""The content of local anomalies: other places, other images, rotated texture, other contrast, colours and noise.

Each filling is given an `Original` and random numbers, float32 (images, DRAWS) in [0, 1), and returns float32
(images, height, width, channels), which may be out of range.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from agad_tf.data import random_fields
from agad_tf.data.random_fields import between, move, uniform

# Random numbers that are drawn for a filling; none takes more.
DRAWS = 12
# A shift is by at least and at most these shares of a side.
NEAREST, FARTHEST = 0.125, 0.5
# Least and greatest change of brightness.
LEAST_CHANGE, MOST_CHANGE = 0.1, 0.6
# The quarter turns and reflections of a plane, without the identity.
TURNS = np.array([(0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0), (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0)], np.float32)


class Original(NamedTuple):
    """The input of a filling."""

    images: tf.Tensor  # float32 (images, height, width, channels) in [-1, 1]
    partners: tf.Tensor  # other images, of the same shape
    within: tf.Tensor  # float32 (images, 1, 1, channels), the pixel that lies deepest within the shape
    tiles: tf.Tensor  # of `noise_tiles`
    seeds: tf.Tensor  # int32 (images,)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.images.shape[1], self.images.shape[2]


def another_place(original: Original, draws: tf.Tensor) -> tf.Tensor:
    """Another place of the same image."""
    return _moved(original.images, np.array([(1, 0, 0, 1)], np.float32), draws)


def partner(original: Original, draws: tf.Tensor) -> tf.Tensor:
    """Another place of another image; the same place would look normal if objects are aligned."""
    return another_place(original._replace(images=original.partners), draws)


def turned(original: Original, draws: tf.Tensor) -> tf.Tensor:
    """The image turned by quarters or mirrored, and shifted."""
    return _moved(original.images, TURNS, draws)


def contrast(original: Original, draws: tf.Tensor) -> tf.Tensor:
    """The image with more or less contrast, brighter or darker."""
    gain = _each(between(0.2, 4, draws[:, 0]))
    return _shifted(original.within, draws[:, 1:3]) + gain * (original.images - original.within)


def one_colour(original: Original, draws: tf.Tensor) -> tf.Tensor:
    """A uniform grey, or colour in colour images, that differs from the original."""
    channels = original.images.shape[-1]
    rise = tf.where(draws[:, :1] < 0.5, draws[:, 1 : 1 + channels], draws[:, 1:2])
    colour = original.within + 0.2 + 1.6 * rise[:, tf.newaxis, tf.newaxis]
    return tf.where(colour > 1, colour - 2, colour) + tf.zeros_like(original.images)


def smooth_noise(original: Original, draws: tf.Tensor) -> tf.Tensor:
    """Smooth noise, brighter and darker than the original."""
    grain = between(2, max(3, min(original.size) / 8), draws[:, 0])
    clouds = random_fields.smooth_noise(original.tiles, grain, draws[:, 4:7], original.size)
    return _folded(_shifted(original.within, draws[:, 1:3]) + _each(0.5 + draws[:, 3]) * clouds)


def rough_noise(original: Original, draws: tf.Tensor) -> tf.Tensor:
    """Noise in single pixels, brighter and darker than the original."""
    grain = 2 * uniform(original.seeds, (*original.size, 1), stream=2) - 1
    return _folded(_shifted(original.within, draws[:, 1:3]) + _each(0.2 + 0.6 * draws[:, 3]) * grain)


FILLINGS: Sequence[Callable[[Original, tf.Tensor], tf.Tensor]] = (
    *(another_place, partner, turned, contrast, one_colour, smooth_noise, rough_noise),
)


def _shifted(colour: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Brighter or darker colours, whichever stays in range."""
    shift = _each(LEAST_CHANGE + (MOST_CHANGE - LEAST_CHANGE) * draws[:, 0])
    shift = tf.where(_each(draws[:, 1]) < 0.5, -shift, shift)
    return colour + tf.where(tf.reduce_max(tf.abs(colour + shift), axis=-1, keepdims=True) > 1, -shift, shift)


def _folded(values: tf.Tensor) -> tf.Tensor:
    """Reflects values outside [-1, 1] at its ends, so that noise on black or white is not lost."""
    return tf.where(tf.abs(values) > 1, 2 * tf.sign(values) - values, values)


def _moved(images: tf.Tensor, turns: np.ndarray, draws: tf.Tensor) -> tf.Tensor:
    """Images turned about their centre and shifted, mirrored where they end.

    Args:
        images: float32 (images, height, width, channels).
        turns: float32 (turns, 4), each a matrix row by row, one of which is taken.
        draws: float32 (images, 5 or more).
    """
    matrix = tf.gather(tf.constant(turns), tf.cast(draws[:, 4] * len(turns), tf.int32))
    a, b, c, d = tf.unstack(matrix, axis=1)
    height, width = images.shape[1:3]
    reach = NEAREST + (FARTHEST - NEAREST) * draws[:, :2]
    way = tf.where(draws[:, 2:4] < 0.5, -reach, reach)
    # Whole pixels, so that texture stays as sharp as it is.
    shift_x = tf.floor(((1 - a) * (width - 1) - b * (height - 1)) / 2 + width * way[:, 0])
    shift_y = tf.floor(((1 - d) * (height - 1) - c * (width - 1)) / 2 + height * way[:, 1])
    return move(images, (a, b, shift_x, c, d, shift_y), (height, width), "NEAREST")


def _each(values: tf.Tensor) -> tf.Tensor:
    """One value for each image, in a shape that broadcasts to images."""
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]
