"""Parts of images at several scales, in the size of the networks' input: cut out at full size, or from a smaller image.

A flaw of two pixels is visible only at full size, and a large flaw only in a smaller image.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import tensorflow as tf

Size = tuple[int, int]

# A pixel of a smaller mask counts as abnormal if at least this share of its area is abnormal.
LEAST_COVER = 0.25
# Larger images are averaged by another method, one channel at a time, because a matrix product needs several copies.
_PIXELS_TOGETHER = 2**22


def sizes_at_scales(shape: Size, least: Size, scales: Sequence[int], multiple: int) -> list[Size]:
    """Heights and widths of images at scales: 1 for full size, 2 for half, and so on.

    Args:
        shape: height and width of the images in pixels.
        least: smallest height and width, that of the networks' input.
        scales: positive, each a divisor of the sides; sides are rounded to multiples.
        multiple: of the sides that the networks take.

    Returns:
        The sizes in the order of the scales, without those that are too small and without repeats. If all are too
        small, the images' own size.
    """
    sizes: list[Size] = []
    for scale in scales:
        height, width = (multiple * round(side / scale / multiple) for side in shape)
        if height >= least[0] and width >= least[1] and (height, width) not in sizes:
            sizes.append((height, width))
    return sizes or [(shape[0], shape[1])]


def at_size(images: tf.Tensor, size: Size) -> tf.Tensor:
    """Averages images down to another height and width: a pixel is the mean of the area that it covers.

    The result equals `tf.image.resize` with the method "area", but the operations can be exported to other formats.

    Args:
        images: float32 (images, height, width, channels).
        size: height and width in pixels, at most those of the images.
    """
    sides = tuple(images.shape[1:3])
    if sides == tuple(size):
        return images
    if not any(side % smaller for side, smaller in zip(sides, size, strict=True)):
        down = [side // smaller for side, smaller in zip(sides, size, strict=True)]
        return tf.nn.avg_pool2d(images, down, down, "VALID")
    if math.prod(sides) <= _PIXELS_TOGETHER:
        rows, columns = (_shares(side, smaller) for side, smaller in zip(sides, size, strict=True))
        return tf.einsum("ih,bhwc,jw->bijc", rows, images, columns)
    by_channel = tf.map_fn(
        lambda channel: _averaged(_averaged(images[..., channel], 1, size[0]), 2, size[1]),
        tf.range(images.shape[-1]),
        parallel_iterations=1,
        fn_output_signature=tf.float32,
    )
    return tf.transpose(by_channel, (1, 2, 3, 0))


def _averaged(images: tf.Tensor, axis: int, smaller: int) -> tf.Tensor:
    """Averages one axis of images of one channel, (images, height, width), without a matrix as large as an image."""
    side = images.shape[axis]
    shares = _shares(side, smaller)
    first = np.floor(np.arange(smaller) * (side / smaller)).astype(int)
    total = tf.constant(0.0)
    for tap in range(math.ceil(side / smaller) + 1):
        pixels = np.minimum(first + tap, side - 1)
        weights = np.where(first + tap < side, shares[np.arange(smaller), pixels], 0.0).astype(np.float32)
        total += tf.gather(images, pixels, axis=axis) * (weights[:, np.newaxis] if axis == 1 else weights)
    return total


@lru_cache
def _shares(side: int, smaller: int) -> np.ndarray:
    """The weight of each of `side` pixels in each of a smaller number of pixels, float32 (smaller, side)."""
    edges = np.arange(smaller + 1) * (side / smaller)
    pixels = np.arange(side)
    overlaps = np.minimum(edges[1:, np.newaxis], pixels + 1) - np.maximum(edges[:-1, np.newaxis], pixels)
    return (np.maximum(overlaps, 0) * (smaller / side)).astype(np.float32)


def crops_at_scales(
    images: tf.Tensor, masks: tf.Tensor, seeds: tf.Tensor, size: Size, sizes: Sequence[Size], smallest: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Cuts a part of each image at a random place and a random scale, and the same part of its mask.

    Args:
        images: float32 (batch, height, width, channels).
        masks: float32 (batch, height, width, 1): 1 abnormal, 0 normal, NaN unknown.
        seeds: int32 (batch,), of the random numbers of each.
        size: height and width of the parts in pixels.
        sizes: of the images at the scales to choose from, from `sizes_at_scales`.
        smallest: bool (batch,), whether to take the last scale, at which a part covers most of the image.

    Returns:
        Parts of images, and of masks, of the same types.
    """
    both = tf.concat([images, masks], axis=-1)
    crops = tf.stack([_crops_at_scale(both, seeds, size, each) for each in sizes], axis=1)
    draws = tf.map_fn(
        lambda seed: tf.random.stateless_uniform([], tf.stack([seed, 4]), maxval=len(sizes), dtype=tf.int32), seeds
    )
    crops = tf.gather(crops, tf.where(smallest, len(sizes) - 1, draws), axis=1, batch_dims=1)
    cover = crops[..., -1:]
    abnormal = tf.cast(cover >= LEAST_COVER, tf.float32)
    return crops[..., :-1], tf.where(tf.math.is_nan(cover), cover, abnormal)


def _crops_at_scale(images: tf.Tensor, seeds: tf.Tensor, size: Size, scaled: Size) -> tf.Tensor:
    """Parts of images at a smaller size; if it divides the images' size, only the parts are averaged."""
    (down, down_rest), (along, along_rest) = (
        divmod(side, smaller) for side, smaller in zip(images.shape[1:3], scaled, strict=True)
    )
    if down_rest or along_rest:
        return random_crops(at_size(images, scaled), seeds, size)
    parts = random_crops(images, seeds, (down * size[0], along * size[1]))
    return parts if down == along == 1 else tf.nn.avg_pool2d(parts, (down, along), (down, along), "VALID")


def random_crops(images: tf.Tensor, seeds: tf.Tensor, size: Size) -> tf.Tensor:
    """Cuts a part of each image at a random place.

    Args:
        images: float (batch, height, width, channels).
        seeds: int32 (batch,).
        size: height and width of the parts in pixels, at most those of the images.
    """
    if tuple(images.shape[1:3]) == tuple(size):
        return images

    def crop(pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, seed = pair
        return tf.image.stateless_random_crop(image, (*size, image.shape[-1]), tf.stack([seed, 2]))

    return tf.map_fn(crop, (images, seeds), fn_output_signature=tf.TensorSpec((*size, images.shape[-1]), images.dtype))
