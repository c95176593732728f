"""The only conversion of pixels to the networks' input, and back.

Pixels lie in [0, 255]. The networks take and give values in [-1, 1], the networks' range.
"""

import math
from typing import TypeVar

import numpy as np
import tensorflow as tf

# Pixel values in one unit of the networks' range, which is two units wide.
PIXELS_PER_UNIT = 127.5

ImageSize = int | tuple[int, int]
"""A side in pixels, or height and width."""

ArrayOrTensor = TypeVar("ArrayOrTensor", np.ndarray, tf.Tensor)


def sides_of(image_size: ImageSize) -> tuple[int, int]:
    """Height and width in pixels."""
    return (image_size, image_size) if isinstance(image_size, int) else image_size


def enough_pixels(image_size: ImageSize) -> int:
    """Smallest side in pixels at which a JPEG may be decoded: one and a half times the longer side after resizing.

    So a JPEG is decoded at full size if its shorter side is less than three times the longer side after resizing. With
    fewer pixels, the sharpness of images would depend on their sizes.

    Args:
        image_size: to which the JPEG is resized.
    """
    return math.ceil(1.5 * max(sides_of(image_size)))


def to_network_input(images: tf.Tensor, image_size: ImageSize) -> tf.Tensor:
    """Resizes raw images and scales them.

    Training, scoring and the exported detector all see pixels through this function.

    Args:
        images: uint8 or float (batch, height, width, channels) in [0, 255], of any size.
        image_size: of the result.

    Returns:
        float32 (batch, height, width, channels) in [-1, 1].
    """
    return to_network_range(resized(images, image_size))


def resized(images: tf.Tensor, image_size: ImageSize) -> tf.Tensor:
    """Resizes raw images, if they are of another size.

    Args:
        images: uint8 or float (batch, height, width, channels) in [0, 255], of any size.
        image_size: of the result.

    Returns:
        float32 (batch, height, width, channels) in [0, 255].
    """
    images = tf.cast(images, tf.float32)
    if images.shape[1:3] != sides_of(image_size):
        images = tf.image.resize(images, sides_of(image_size), antialias=True)
    return images


def to_network_range(pixels: ArrayOrTensor) -> ArrayOrTensor:
    """Scales pixels to the networks' range.

    Args:
        pixels: float array or tensor of any shape, in [0, 255].

    Returns:
        The same kind, dtype and shape, in [-1, 1].
    """
    return pixels / PIXELS_PER_UNIT - 1.0


def to_pixels(images: ArrayOrTensor) -> ArrayOrTensor:
    """Scales the networks' input or output back to pixels, the inverse of `to_network_range`.

    Args:
        images: float array or tensor of any shape, in [-1, 1].

    Returns:
        The same kind, dtype and shape, in [0, 255]; not rounded.
    """
    return (images + 1.0) * PIXELS_PER_UNIT


def to_uint8(images: np.ndarray | tf.Tensor) -> np.ndarray:
    """Scales the networks' input or output to whole pixel values, as in image files.

    Args:
        images: float array or tensor of any shape, in [-1, 1]; values beyond are clipped.

    Returns:
        uint8 array of the same shape, rounded to the nearest value.
    """
    return np.round(to_pixels(np.asarray(images))).clip(0, 255).astype(np.uint8)
