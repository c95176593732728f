"""The one way from pixels to what the networks take."""

import tensorflow as tf


def to_network_input(images: tf.Tensor, image_size: int) -> tf.Tensor:
    """Resizes raw images and scales them.

    Training, scoring and the exported detector all see pixels through this function.

    Args:
        images: uint8 or float (batch, height, width, channels) in [0, 255], of any size.
        image_size: side in pixels of what comes out.

    Returns:
        float32 (batch, image_size, image_size, channels) in [-1, 1].
    """
    return resized(images, image_size) / 127.5 - 1.0


def resized(images: tf.Tensor, image_size: int) -> tf.Tensor:
    """Resizes raw images, if they are of another size.

    Args:
        images: uint8 or float (batch, height, width, channels) in [0, 255], of any size.
        image_size: side in pixels of what comes out.

    Returns:
        float32 (batch, image_size, image_size, channels) in [0, 255].
    """
    images = tf.cast(images, tf.float32)
    if images.shape[1:3] != (image_size, image_size):
        images = tf.image.resize(images, (image_size, image_size), antialias=True)
    return images
