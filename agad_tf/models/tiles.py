"""Processes large images in overlapping tiles, with the same result as for the whole image."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import tensorflow as tf

from agad_tf.networks.reach import Reach

# Side in pixels. With the margin of a UNet and a segmenter, 160 pixels, nearly half of a tile is its core. At width
# 1/4, both take 300 MiB.
TILE = 1024


@dataclass(frozen=True)
class Tiling:
    """The division of images into tiles.

    The image is divided into cores, all of one size. A tile is a core with a margin around it. At the border, the tile
        is moved inwards, so that all tiles have one size and end where the image ends: there, a network pads the tile
        as it would pad the image.

    Attributes:
        image: height and width of the images in pixels.
        tile: height and width of the tiles, equal to the image's if one tile is enough.
        core: height and width of the part of a tile that the result is taken from.
        margin: in pixels, between core and tile.
    """

    image: tuple[int, int]
    tile: tuple[int, int]
    core: tuple[int, int]
    margin: int

    @property
    def counts(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        rows, columns = (math.ceil(side / core) for side, core in zip(self.image, self.core, strict=True))
        return rows, columns

    @property
    def is_one_tile(self) -> bool:
        """Whether images are no larger than a tile."""
        return self.tile == self.image


def tiling(image: tuple[int, int], reach: Reach, largest: int = TILE) -> Tiling:
    """Finds the least number of tiles, and among those the smallest tiles.

    Args:
        image: height and width of the images in pixels, multiples of the stride.
        reach: of the networks that are applied to a tile, by `reach_of`; a margin below theirs is an approximation.
        largest: greatest side of a tile in pixels.

    Raises:
        ValueError: a side is not a multiple of the stride, or tiles are too small for their margins.
    """
    stride, margin = reach
    if any(side % stride for side in image):
        raise ValueError(
            f"Images of {image[0]}×{image[1]} pixels do not fit networks of stride {stride}; pad or resize them to "
            f"multiples of {stride}."
        )
    margin = stride * math.ceil(margin / stride)
    tile, core = zip(*(_tile_and_core(side, stride, margin, largest) for side in image), strict=True)
    return Tiling(image, tile, core, margin)


def _tile_and_core(side: int, stride: int, margin: int, largest: int) -> tuple[int, int]:
    if side <= largest:
        return side, side
    largest_core = (largest - 2 * margin) // stride * stride
    if largest_core < stride:
        raise ValueError(
            f"Tiles of {largest} pixels are too small: a network needs {margin} pixels around a block of {stride}; use "
            f"tiles of at least {2 * margin + stride} pixels."
        )
    count = math.ceil(side / largest_core)
    core = stride * math.ceil(side / count / stride)
    return core + 2 * margin, core


def in_tiles(
    function: Callable[[tf.Tensor], Any], images: tf.Tensor, tiles: Tiling, signature: Any = tf.float32
) -> Any:
    """Applies a function to images in tiles, one after another.

    The result equals that of the function on whole images, if the function depends on no pixels beyond the margin and
    is invariant to shifts by multiples of the stride. Networks in inference have these properties, and so have several
    networks in sequence. Besides images and result, memory is that of one tile for any batch size.

    Args:
        function: maps images, (batch, *tiles.tile, channels), to floats (batch, *tiles.tile, kinds). If one tile is
            enough, it is called on all images at once, and otherwise on one tile at a time; a graph contains it once.
        images: float (batch, *tiles.image, channels).
        tiles: by `tiling`.
        signature: types of the function's result, tf.float32 or a tuple of it; a tuple takes less memory than one
            tensor that is divided afterwards.

    Returns:
        float32 (batch, *tiles.image, kinds), or a tuple of these.

    Raises:
        ValueError: the images are of another size.

    Example:
        >>> from agad_tf import build_generator
        >>> from agad_tf.models.network_copies import resized
        >>> from agad_tf.networks.reach import reach_of
        >>> generator = build_generator("encoder_decoder", (32, 32, 1), width=1 / 16)
        >>> tiles = tiling((512, 384), reach_of(generator), largest=320)
        >>> in_tiles(resized(generator, tiles.tile), tf.zeros((1, 512, 384, 1)), tiles).shape
        TensorShape([1, 512, 384, 1])
    """
    if tuple(images.shape[1:3]) != tuple(tiles.image):
        raise ValueError(
            f"Images have the shape {tuple(images.shape)}, but tiles are planned for images of "
            f"{tiles.image[0]}×{tiles.image[1]} pixels; make the tiling for the height and width of the images."
        )
    if tiles.is_one_tile:
        return function(images)
    rows, columns = tiles.counts

    def core_of(number: tf.Tensor) -> Any:
        image, place = number // (rows * columns), number % (rows * columns)
        corner, inside = _corners(tf.stack([place // columns, place % columns]), tiles)
        part = tf.slice(images, [image, *tf.unstack(corner), 0], [1, *tiles.tile, images.shape[-1]])
        begin, size = [0, *tf.unstack(inside), 0], [1, *tiles.core, -1]
        return tf.nest.map_structure(lambda found: tf.slice(found, begin, size)[0], function(part))

    numbers = tf.range(tf.shape(images)[0] * rows * columns)
    # Sequentially: each operation keeps all cores busy, and memory is that of one tile.
    cores = tf.map_fn(core_of, numbers, parallel_iterations=1, fn_output_signature=signature)
    return tf.nest.map_structure(partial(_joined, tiles=tiles), cores)


def _corners(place: tf.Tensor, tiles: Tiling) -> tuple[tf.Tensor, tf.Tensor]:
    """The corner of a tile in its image, and that of its core in the tile; int32 (2,) each, as is `place`."""
    image, tile, core = (tf.constant(sides) for sides in (tiles.image, tiles.tile, tiles.core))
    core_corner = tf.minimum(place * core, image - core)
    corner = tf.clip_by_value(core_corner - tiles.margin, 0, image - tile)
    return corner, core_corner - corner


def _joined(cores: tf.Tensor, tiles: Tiling) -> tf.Tensor:
    """Puts the cores of all images, (batch·rows·columns, *core, kinds), in their places."""
    (rows, columns), (height, width), kinds = tiles.counts, tiles.core, cores.shape[-1]
    cores = tf.reshape(cores, (-1, rows, columns, height, width, kinds))
    joined = tf.reshape(tf.transpose(cores, (0, 1, 3, 2, 4, 5)), (-1, rows * height, columns * width, kinds))
    for axis, (side, count, core) in enumerate(zip(tiles.image, tiles.counts, tiles.core, strict=True), 1):
        surplus = count * core - side
        if surplus:
            # The last core ends where the image ends, so it overlaps with the one before it.
            kept = [*range((count - 1) * core), *range((count - 1) * core + surplus, count * core)]
            joined = tf.gather(joined, kept, axis=axis)
    return joined
