"""Local synthetic anomalies: small flaws at known places of normal images, as scratches, stains and missing parts are.

A flaw is a shape filled with something else, and blended in. Both are pure functions of images and of a seed for each
image, so that any number of replicas, and a run that goes on, see the same. They are the same to the bit in any batch:
what depends on an image is exact arithmetic, and roots, angles and logarithmic scales come from tables.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

# A pixel counts as altered where any channel differs by more; images have a range of 2.
VISIBLE = 0.03
# Shares of the image that a shape takes up.
SMALLEST_AREA, LARGEST_AREA = 0.001, 0.2
# The least opacity; a flaw of little contrast is blended less, so that it has this difference somewhere if it can.
LEAST_OPACITY, LEAST_CONTRAST = 0.2, 0.15

# Random numbers of a shape and of a fill, and those before them: which shape, which fill, opacity, softness.
SHAPE_DRAWS, FILL_DRAWS, OTHER_DRAWS = 16, 12, 5
# Noise is drawn in so many cells each way, and each becomes so many pixels of the tile that it is taken from.
CELLS, CELL = 16, 4
# More than this many pixels each way are not looked at to find the threshold of a blob.
SAMPLED_SIDE = 64

_STEPS = 1024  # a power of two, so that a random number becomes a row of a table without rounding
_ANGLES = 2 * np.pi * np.arange(_STEPS) / _STEPS
_COSINES, _SINES = np.cos(_ANGLES).astype(np.float32), np.sin(_ANGLES).astype(np.float32)
# The quarter turns and mirrorings of a plane, without the one that changes nothing.
_TURNS = np.float32([(0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0), (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0)])


def add_local_anomalies(images: tf.Tensor, partners: tf.Tensor, seeds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Makes one flaw, or a few alike, in each image.

    Args:
        images: normal ones, float32 (images, height, width, 1 or 3) in [-1, 1], of 16 pixels or more each way. Height
            and width are known before the first image.
        partners: other normal ones, of the same shape, that parts are taken from.
        seeds: int32 (images,), of the random numbers of each.

    Returns:
        The altered images, of the same shape and range, and masks, float32 (images, height, width, 1): 1 where any
        channel differs by more than `VISIBLE`, and 0 elsewhere, where the pixels are the image's own. The mask is
        empty where nothing can be seen, as when a part of a constant image is laid upon another.
    """
    draws = _uniform(seeds, [OTHER_DRAWS + SHAPE_DRAWS + FILL_DRAWS + CELLS * CELLS], stream=1)
    other, for_shape, for_fill, cells = tf.split(draws, [OTHER_DRAWS, SHAPE_DRAWS, FILL_DRAWS, CELLS * CELLS], axis=1)
    noise = _noise_tile(cells)
    height, width = images.shape[1:3]

    depth = _by_kind(SHAPES, other[:, 0], for_shape, noise, size=(height, width))
    softness = tf.where(
        other[:, 2] < 0.5, 1.0, _of_table(np.geomspace(1, max(2, min(height, width) / 12)), other[:, 3])
    )
    cover = tf.clip_by_value((tf.reshape(depth, (-1, height, width, 1)) + 0.5) / _each(softness), 0, 1)
    cover = cover / tf.maximum(tf.reduce_max(cover, axis=(1, 2, 3), keepdims=True), 1e-3)

    within = tf.gather(_pixels(images), tf.argmax(_pixels(cover)[..., 0], axis=1), batch_dims=1)
    filling = _by_kind(FILLS, other[:, 1], images, partners, within[:, tf.newaxis, tf.newaxis], noise, for_fill, seeds)
    change = cover * (tf.reshape(filling, tf.shape(images)) - images)
    most = tf.maximum(tf.reduce_max(tf.abs(change), axis=(1, 2, 3)), 1e-3)
    opacity = LEAST_OPACITY + (1 - LEAST_OPACITY) * other[:, 4]
    opacity = tf.minimum(tf.maximum(opacity, LEAST_CONTRAST / most), 1.0)

    made = tf.clip_by_value(images + _each(opacity) * change, -1, 1)
    altered = tf.reduce_max(tf.abs(made - images), axis=-1, keepdims=True) > VISIBLE
    return tf.where(altered, made, images), tf.cast(altered, tf.float32)


def kinds_of(seeds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Which shape and which filling the flaw of each seed has.

    Args:
        seeds: int32 (images,).

    Returns:
        int32 (images,) each, in the order of `SHAPES` and of `FILLS`.
    """
    draws = _uniform(seeds, [OTHER_DRAWS + SHAPE_DRAWS + FILL_DRAWS + CELLS * CELLS], stream=1)
    return tf.cast(draws[:, 0] * len(SHAPES), tf.int32), tf.cast(draws[:, 1] * len(FILLS), tf.int32)


# === Shapes ===
# Each is given float32 (shapes, SHAPE_DRAWS) in [0, 1), a noise tile each, and the height and width of the images. It
# returns float32 (shapes, height, width): how deep within the shape a pixel lies, in pixels, and less than 0 outside.


def blobs(draws: tf.Tensor, noise: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """One to four spots, each within an ellipse, as ragged as the noise that is added before the threshold."""
    x, y = _grid(size)
    count = tf.maximum(1.0, tf.floor(8 * draws[:, 2]) - 3)  # half of them are one spot
    shrunk = tf.gather(tf.constant(1 / np.sqrt([1, 1, 2, 3, 4]), tf.float32), tf.cast(count, tf.int32))
    radius = tf.maximum(_root_of_area(draws[:, 0], size) * shrunk / math.sqrt(math.pi), 0.6)
    stretch = _of_table(np.geomspace(1, 2), draws[:, 3])
    cosine, sine = _direction(draws[:, 1])
    nearest = None
    for spot in range(4):
        # Those that are too many lie upon the first.
        row = tf.where((spot < count)[:, tf.newaxis], draws[:, 4 + 2 * spot : 6 + 2 * spot], draws[:, 4:6])
        across, down = x - _plane(row[:, 0] * (size[1] - 1)), y - _plane(row[:, 1] * (size[0] - 1))
        along = (_plane(cosine) * across + _plane(sine) * down) / _plane(radius * stretch)
        aside = (_plane(cosine) * down - _plane(sine) * across) * _plane(stretch / radius)
        square = along * along + aside * aside
        nearest = square if nearest is None else tf.minimum(nearest, square)
    ragged = _of_table(np.geomspace(0.3, 5), draws[:, 12])
    grain = tf.maximum(radius * _of_table(np.geomspace(0.4, 2), draws[:, 13]), 1.5)
    rough = _noise(noise, grain, draws[:, 13:16], size)[..., 0]
    field = _plane(radius) * ((1 - nearest) / 2 + _plane(ragged) * rough)
    # So many pixels lie within as the area says.
    step = -(-max(size) // SAMPLED_SIDE)
    sampled = _flat(field[:, ::step, ::step])
    samples = sampled.shape[1]
    highest = tf.math.top_k(sampled, math.ceil(LARGEST_AREA * samples) + 1).values
    wanted = tf.cast(_of_table(_AREAS, draws[:, 0]) * samples, tf.int32)
    return field - _plane(tf.gather(highest, wanted, batch_dims=1))


def box(draws: tf.Tensor, noise: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """A rectangle of any aspect; half of them stand upright, the others at any angle."""
    x, y = _grid(size)
    root, stretch = _root_of_area(draws[:, 0], size), _of_table(np.sqrt(np.geomspace(0.1, 10)), draws[:, 1])
    width = tf.clip_by_value(tf.round(root * stretch), 1, size[1] - 2)
    height = tf.clip_by_value(tf.round(root / stretch), 1, size[0] - 2)
    left, top = tf.floor(draws[:, 2] * (size[1] - width + 1)), tf.floor(draws[:, 3] * (size[0] - height + 1))
    across, down = x - _plane(left + (width - 1) / 2), y - _plane(top + (height - 1) / 2)
    cosine, sine = _direction(tf.where(draws[:, 4] < 0.5, 0.0, draws[:, 5]))
    along, aside = _plane(cosine) * across + _plane(sine) * down, _plane(cosine) * down - _plane(sine) * across
    return tf.minimum(_plane(width / 2) - tf.abs(along), _plane(height / 2) - tf.abs(aside))


def stroke(draws: tf.Tensor, noise: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """A thin line of two to four straight pieces."""
    x, y = _grid(size)
    root = _root_of_area(draws[:, 0], size)
    thickest = tf.maximum(1.0, root / 3)
    thickness = tf.minimum(_of_table(np.geomspace(1, max(3, min(size) / 48)), draws[:, 1]), thickest)
    pieces = tf.floor(2 + 3 * draws[:, 2])
    length = tf.clip_by_value(root * root / thickness, 3, 2 * min(size)) / pieces
    direction = draws[:, 3]
    corners = [(tf.zeros_like(length), tf.zeros_like(length))]
    for piece in range(4):
        cosine, sine = _direction(direction)
        reach = tf.where(piece < pieces, length, 0.0)
        corners.append((corners[-1][0] + reach * cosine, corners[-1][1] + reach * sine))
        direction = direction + (draws[:, 4 + piece] - 0.5) / 3  # by 60 degrees at most
    left, top = (
        _room(tf.stack([corner[axis] for corner in corners]), draws[:, 8 + axis], size[1 - axis]) for axis in (0, 1)
    )
    nearest = None
    for (from_x, from_y), (to_x, to_y) in itertools.pairwise(corners):
        across, down = x - _plane(from_x + left), y - _plane(from_y + top)
        step_x, step_y = _plane(to_x - from_x), _plane(to_y - from_y)
        share = (across * step_x + down * step_y) / tf.maximum(step_x * step_x + step_y * step_y, 1e-3)
        share = tf.clip_by_value(share, 0, 1)
        across, down = across - share * step_x, down - share * step_y
        square = across * across + down * down
        nearest = square if nearest is None else tf.minimum(nearest, square)
    # Near the edge (r² - d²) / 2r is r - d, and needs no root.
    radius = _plane(thickness / 2)
    return (radius * radius - nearest) / (2 * radius)


SHAPES: Sequence[Callable[..., tf.Tensor]] = (blobs, box, stroke)


# === Fillings ===
# Each is given the images and their partners, the pixel of each that lies deepest within the shape, float32
# (images, 1, 1, channels), a noise tile each, float32 (images, FILL_DRAWS) in [0, 1), and the seeds. It returns float32
# of the shape of the images, which may be out of range.


def another_place(
    images: tf.Tensor, partners: tf.Tensor, within: tf.Tensor, noise: tf.Tensor, draws: tf.Tensor, seeds: tf.Tensor
) -> tf.Tensor:
    """What the same image shows elsewhere."""
    return _moved(images, [tf.fill(tf.shape(seeds), value) for value in (1.0, 0.0, 0.0, 1.0)], draws)


def partner(
    images: tf.Tensor, partners: tf.Tensor, within: tf.Tensor, noise: tf.Tensor, draws: tf.Tensor, seeds: tf.Tensor
) -> tf.Tensor:
    """What another image shows elsewhere: at the same place of aligned objects it could show what is normal there."""
    return another_place(partners, images, within, noise, draws, seeds)


def turned(
    images: tf.Tensor, partners: tf.Tensor, within: tf.Tensor, noise: tf.Tensor, draws: tf.Tensor, seeds: tf.Tensor
) -> tf.Tensor:
    """The image turned by quarters or mirrored, and shifted."""
    matrix = tf.gather(tf.constant(_TURNS), tf.cast(draws[:, 4] * len(_TURNS), tf.int32))
    return _moved(images, tf.unstack(matrix, axis=1), draws)


def contrast(
    images: tf.Tensor, partners: tf.Tensor, within: tf.Tensor, noise: tf.Tensor, draws: tf.Tensor, seeds: tf.Tensor
) -> tf.Tensor:
    """The image with more or less contrast, brighter or darker."""
    gain = _of_table(np.geomspace(0.2, 4), draws[:, 0])
    return _base(within, draws) + _each(gain) * (images - within)


def one_colour(
    images: tf.Tensor, partners: tf.Tensor, within: tf.Tensor, noise: tf.Tensor, draws: tf.Tensor, seeds: tf.Tensor
) -> tf.Tensor:
    """One grey, or one colour where images have any, that differs from what is there."""
    channels = images.shape[-1]
    alike = tf.where(draws[:, :1] < 0.5, draws[:, 1 : 1 + channels], draws[:, 1:2])
    colour = within + 0.2 + 1.6 * alike[:, tf.newaxis, tf.newaxis]
    return tf.where(colour > 1, colour - 2, colour) + tf.zeros_like(images)


def smooth_noise(
    images: tf.Tensor, partners: tf.Tensor, within: tf.Tensor, noise: tf.Tensor, draws: tf.Tensor, seeds: tf.Tensor
) -> tf.Tensor:
    """Clouds, about the colour that is there or a brighter or darker one."""
    grain = _of_table(np.geomspace(2, max(3, min(images.shape[1:3]) / 8)), draws[:, 0])
    size = (images.shape[1], images.shape[2])
    return _base(within, draws) + _each(0.5 + draws[:, 4]) * _noise(noise, grain, draws[:, 5:8], size)


def rough_noise(
    images: tf.Tensor, partners: tf.Tensor, within: tf.Tensor, noise: tf.Tensor, draws: tf.Tensor, seeds: tf.Tensor
) -> tf.Tensor:
    """Grain of one pixel, about the colour that is there or a brighter or darker one."""
    grain = _uniform(seeds, [images.shape[1], images.shape[2], 1], stream=2)
    return _base(within, draws) + _each(0.3 + 0.7 * draws[:, 4]) * (2 * grain - 1)


FILLS: Sequence[Callable[..., tf.Tensor]] = (
    *(another_place, partner, turned, contrast, one_colour, smooth_noise, rough_noise),
)


# === Parts of these ===

_AREAS = np.geomspace(SMALLEST_AREA, LARGEST_AREA, _STEPS).astype(np.float32)
_ROOTS = np.sqrt(_AREAS)


def _uniform(seeds: tf.Tensor, shape: list[int], stream: int) -> tf.Tensor:
    """Random numbers of each seed, float32 (seeds, *shape) in [0, 1); those of another stream are others."""
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform(shape, tf.stack([seed, stream])),
        seeds,
        fn_output_signature=tf.TensorSpec(shape, tf.float32),
    )


def _by_kind(
    kinds: Sequence[Callable[..., tf.Tensor]], draw: tf.Tensor, *values: tf.Tensor, **options: object
) -> tf.Tensor:
    """Gives each row of the values to the kind that its random number says; each kind is as likely as the others."""
    of_kind = tf.cast(draw * len(kinds), tf.int32)
    rows = tf.dynamic_partition(tf.range(tf.size(draw)), of_kind, len(kinds))
    made = [
        kind(*(tf.gather(value, chosen) for value in values), **options)
        for kind, chosen in zip(kinds, rows, strict=True)
    ]
    return tf.dynamic_stitch(rows, made)


def _of_table(table: np.ndarray, draw: tf.Tensor) -> tf.Tensor:
    """A value of a table by a random number in [0, 1)."""
    return tf.gather(tf.constant(table, tf.float32), tf.cast(draw * len(table), tf.int32))


def _direction(turns: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Cosine and sine of an angle in whole turns."""
    step = tf.math.floormod(tf.cast(tf.floor(turns * _STEPS), tf.int32), _STEPS)
    return tf.gather(tf.constant(_COSINES), step), tf.gather(tf.constant(_SINES), step)


def _root_of_area(draw: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Side in pixels of a square that has a shape's area."""
    return _of_table(_ROOTS, draw) * math.sqrt(size[0] * size[1])


def _room(corners: tf.Tensor, draw: tf.Tensor, side: int) -> tf.Tensor:
    """How far to shift corners, float32 (corners, shapes), so that they lie within a side where they can."""
    first, last = tf.reduce_min(corners, axis=0), tf.reduce_max(corners, axis=0)
    return draw * (side - 1 - (last - first)) - first


def _base(within: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """A colour near the one that is there: brighter or darker by up to 0.6, and in range."""
    shift = _each(1.2 * draws[:, 3] - 0.6)
    return within + tf.where(tf.reduce_max(tf.abs(within + shift), axis=-1, keepdims=True) > 1, -shift, shift)


def _moved(images: tf.Tensor, matrix: Sequence[tf.Tensor], draws: tf.Tensor) -> tf.Tensor:
    """Images turned about their centre and shifted by at least an eighth of a side, mirrored where they end."""
    a, b, c, d = matrix
    height, width = images.shape[1:3]
    reach = 0.125 + 0.375 * draws[:, :2]
    way = tf.where(draws[:, 2:4] < 0.5, -reach, reach)
    shift_x = tf.floor((width - 1 - a * (width - 1) - b * (height - 1)) / 2 + width * way[:, 0])
    shift_y = tf.floor((height - 1 - c * (width - 1) - d * (height - 1)) / 2 + height * way[:, 1])
    return _transform(images, (a, b, shift_x, c, d, shift_y), (height, width), "NEAREST")


def _noise_tile(cells: tf.Tensor) -> tf.Tensor:
    """Smooths random numbers, float32 (images, CELLS²) in [0, 1), to tiles (images, side, side, 1) about 0."""
    tile = 2 * tf.reshape(cells, (-1, CELLS, CELLS)) - 1
    side = CELLS
    while side < CELLS * CELL:
        # Cutting corners, twice each way, makes a smooth spline of steps.
        for axis in (1, 2):
            before, after = tf.roll(tile, 1, axis), tf.roll(tile, -1, axis)
            halves = tf.stack([0.75 * tile + 0.25 * before, 0.75 * tile + 0.25 * after], axis=axis + 1)
            tile = tf.reshape(halves, (-1, 2 * side, side if axis == 1 else 2 * side))
        side *= 2
    return tile[..., tf.newaxis]


def _noise(tiles: tf.Tensor, grain: tf.Tensor, draws: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Smooth noise, float32 (images, height, width, 1) mostly in [-0.7, 0.7], whose cells are of `grain` pixels."""
    cosine, sine = _direction(draws[:, 0])
    scale = CELL / grain
    shift_x, shift_y = CELLS * CELL * draws[:, 1], CELLS * CELL * draws[:, 2]
    matrix = (scale * cosine, -scale * sine, shift_x, scale * sine, scale * cosine, shift_y)
    return _transform(tiles, matrix, size, "BILINEAR")


def _transform(images: tf.Tensor, matrix: Sequence[tf.Tensor], size: tuple[int, int], interpolation: str) -> tf.Tensor:
    """Moves pixels: the one at (x, y) is taken from (a·x + b·y + s, c·x + d·y + t), with mirrored images around."""
    zero = tf.zeros_like(matrix[0])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([*matrix, zero, zero], axis=1),
        output_shape=size,
        interpolation=interpolation,
        fill_mode="REFLECT",
        fill_value=0.0,
    )


def _grid(size: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Places of pixels, x (1, 1, width) and y (1, height, 1)."""
    height, width = size
    return tf.range(width, dtype=tf.float32)[tf.newaxis, tf.newaxis], tf.range(height, dtype=tf.float32)[:, tf.newaxis][
        tf.newaxis
    ]


def _flat(planes: tf.Tensor) -> tf.Tensor:
    return tf.reshape(planes, (-1, planes.shape[1] * planes.shape[2]))


def _pixels(images: tf.Tensor) -> tf.Tensor:
    """Images as lists of pixels, (images, height · width, channels)."""
    return tf.reshape(images, (-1, images.shape[1] * images.shape[2], images.shape[3]))


def _plane(values: tf.Tensor) -> tf.Tensor:
    """One value for each image, as planes take it."""
    return values[:, tf.newaxis, tf.newaxis]


def _each(values: tf.Tensor) -> tf.Tensor:
    """One value for each image, as images take it."""
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]
