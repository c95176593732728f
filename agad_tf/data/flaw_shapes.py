"""The shapes of local anomalies: blobs, boxes and strokes, like stains, missing parts, scratches and cracks.

Each shape is given random numbers, float32 (images, DRAWS) in [0, 1), tiles of noise, and the height and width of the
images. It returns float32 (images, height, width): the distance of a pixel to the edge, in pixels, positive inside and
negative outside. The first random number determines the area.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from agad_tf.data.random_fields import STEPS, between, direction, of_table, smooth_noise

# Random numbers that are drawn for a shape; none takes more.
DRAWS = 24
# Least and greatest area as a share of the image; logarithms are uniform.
SMALLEST_AREA, LARGEST_AREA = 0.001, 0.2
# At most this many pixels in each direction are used to find the threshold of a blob.
SAMPLED_SIDE = 64
SPOTS, PIECES = 4, 4

_AREAS = np.geomspace(SMALLEST_AREA, LARGEST_AREA, STEPS)


def blobs(draws: tf.Tensor, tiles: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """One to four spots, each within an ellipse, as ragged as the noise that is added before the threshold."""
    x, y = _grid(size)
    count = tf.maximum(1.0, tf.floor(2 * SPOTS * draws[:, 1]) - SPOTS + 1)  # one spot in five cases of eight
    root = _root_of_area(draws[:, 0], size)
    radius = tf.maximum(root * of_table(1 / np.sqrt(np.pi * np.arange(1, SPOTS + 1)), (count - 1) / SPOTS), 0.6)
    squares = []
    for spot in range(SPOTS):
        # Spots beyond the number drawn coincide with the first.
        number = tf.where(tf.cast(spot, tf.float32) < count, spot, 0)
        left, top, turn, scale = (tf.gather(draws, 4 + 4 * number + k, axis=1, batch_dims=1) for k in range(4))
        along, aside = _turned(x - _plane(left * (size[1] - 1)), y - _plane(top * (size[0] - 1)), turn)
        # The same number determines the size and the length of a spot.
        length, breadth = radius * between(0.7, 1.6, scale), radius * between(0.7, 0.9, scale)
        squares.append(tf.square(along / _plane(length)) + tf.square(aside / _plane(breadth)))
    grain = tf.maximum(radius * between(0.4, 2, draws[:, 3]), 1.5)
    rough = _plane(between(0.5, 4, draws[:, 2])) * smooth_noise(tiles, grain, draws[:, 20:23], size)[..., 0]
    depth = _plane(radius) * ((1 - functools.reduce(tf.minimum, squares)) / 2 + rough)
    # The area says how many pixels lie within.
    step = -(-max(size) // SAMPLED_SIDE)
    sampled = tf.reshape(depth[:, ::step, ::step], (-1, -(-size[0] // step) * -(-size[1] // step)))
    samples = sampled.shape[1]
    highest = tf.math.top_k(sampled, math.ceil(LARGEST_AREA * samples) + 1).values
    wanted = tf.cast(of_table(_AREAS, draws[:, 0]) * samples, tf.int32)
    return depth - _plane(tf.gather(highest, wanted, batch_dims=1))


def box(draws: tf.Tensor, tiles: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """A rectangle of any aspect; half of them stand upright, the others at any angle."""
    x, y = _grid(size)
    root, stretch = _root_of_area(draws[:, 0], size), between(1 / 3, 3, draws[:, 1])
    width = tf.clip_by_value(tf.round(root * stretch), 1, size[1] - 2)
    height = tf.clip_by_value(tf.round(root / stretch), 1, size[0] - 2)
    left, top = tf.floor(draws[:, 2] * (size[1] - width + 1)), tf.floor(draws[:, 3] * (size[0] - height + 1))
    turn = tf.where(draws[:, 4] < 0.5, 0.0, draws[:, 5])
    along, aside = _turned(x - _plane(left + (width - 1) / 2), y - _plane(top + (height - 1) / 2), turn)
    return tf.minimum(_plane(width / 2) - tf.abs(along), _plane(height / 2) - tf.abs(aside))


def stroke(draws: tf.Tensor, tiles: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """A thin line of two to four pieces; half of them are straight, the others waver."""
    x, y = _grid(size)
    root, turn = _root_of_area(draws[:, 0], size), draws[:, 1]
    thickness = tf.minimum(between(1, max(3, min(size) / 48), draws[:, 2]), tf.maximum(root / 3, 1))
    pieces = tf.floor(2 + (PIECES - 1) * draws[:, 3])
    length = tf.clip_by_value(root * root / thickness, 3, 2 * min(size)) / pieces

    waver = tf.where(draws[:, 4] < 0.5, 0.0, between(1, 4, draws[:, 5])) * min(size) / 64
    shift = (
        _plane(waver) * smooth_noise(tiles, between(4, 12, draws[:, 6]) * min(size) / 64, draws[:, 7:10], size)[..., 0]
    )
    cosine, sine = direction(turn)
    x, y = x - _plane(sine) * shift, y + _plane(cosine) * shift

    corners = [(tf.zeros_like(length), tf.zeros_like(length))]
    for piece in range(PIECES):
        cosine, sine = direction(turn)
        reach = tf.where(tf.cast(piece, tf.float32) < pieces, length, 0.0)
        corners.append((corners[-1][0] + reach * cosine, corners[-1][1] + reach * sine))
        turn = turn + (draws[:, 10 + piece] - 0.5) / 3  # by 60 degrees at most
    left = _room(tf.stack([corner[0] for corner in corners]), draws[:, 14], size[1])
    top = _room(tf.stack([corner[1] for corner in corners]), draws[:, 15], size[0])
    squares = []
    for (from_x, from_y), (to_x, to_y) in itertools.pairwise(corners):
        across, down = x - _plane(from_x + left), y - _plane(from_y + top)
        step_x, step_y = _plane(to_x - from_x), _plane(to_y - from_y)
        share = (across * step_x + down * step_y) / tf.maximum(step_x * step_x + step_y * step_y, 1e-3)
        share = tf.clip_by_value(share, 0, 1)
        squares.append(tf.square(across - share * step_x) + tf.square(down - share * step_y))
    # Near the edge (r² - d²) / 2r is r - d, and needs no root.
    radius = _plane(thickness / 2)
    return (radius * radius - functools.reduce(tf.minimum, squares)) / (2 * radius)


SHAPES: Sequence[Callable[..., tf.Tensor]] = (blobs, box, stroke)


def _root_of_area(draws: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Side in pixels of a square of a shape's area."""
    return of_table(np.sqrt(_AREAS), draws) * math.sqrt(size[0] * size[1])


def _room(corners: tf.Tensor, draws: tf.Tensor, side: int) -> tf.Tensor:
    """How far to shift corners, float32 (corners, images), so that they lie within a side where they can."""
    first, last = tf.reduce_min(corners, axis=0), tf.reduce_max(corners, axis=0)
    return draws * (side - 1 - (last - first)) - first


def _turned(x: tf.Tensor, y: tf.Tensor, turns: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Coordinates along rotated axes."""
    cosine, sine = (_plane(values) for values in direction(turns))
    return cosine * x + sine * y, cosine * y - sine * x


def _grid(size: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Places of pixels, x (1, 1, width) and y (1, height, 1)."""
    x, y = (tf.range(side, dtype=tf.float32) for side in (size[1], size[0]))
    return x[tf.newaxis, tf.newaxis], y[tf.newaxis, :, tf.newaxis]


def _plane(values: tf.Tensor) -> tf.Tensor:
    """One value for each image, in a shape that broadcasts to planes."""
    return values[:, tf.newaxis, tf.newaxis]
