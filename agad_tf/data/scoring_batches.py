"""Batches of images for scoring, in the order of the images."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from agad_tf.data.images_in_files import FILES_PER_CALL, Images, Pictures
from agad_tf.data.preprocessing import ImageSize, sides_of, to_network_input

SCORING_BATCH_SIZE = 256
# At most this many pixels are scored at a time, for any batch size: 1.2 GiB with the networks of `own_images`.
SCORING_PIXELS = 2**22


# Batches that are prepared during a step.
BATCHES_AHEAD = 2


# tf.data's tuner sleeps for up to a minute, and the end of iteration waits for it.
UNTUNED = tf.data.Options()


UNTUNED.autotune.enabled = False


def images_at_a_time(image_size: ImageSize, most: int = SCORING_BATCH_SIZE) -> int:
    """How many images are scored at a time: `most`, or fewer if they are large.

    Args:
        image_size: of the images.
        most: images in a batch.
    """
    return max(1, min(most, SCORING_PIXELS // math.prod(sides_of(image_size))))


def spread(count: int, most: int) -> np.ndarray:
    """At most `most` rows, evenly spread over all, int (rows,).

    Args:
        count: of all rows, at least 1.
        most: number of rows to take, at least 1.
    """
    kept = min(count, most)
    return np.arange(kept) * count // kept


class _ArrayBatches:
    """Batches of an array, prepared one by one.

    Without tf.data, which leaks memory for every pipeline: scoring would build one after each epoch. The time to
        prepare 256 images is negligible beside scoring them.
    """

    def __init__(self, images: np.ndarray, image_size: ImageSize, batch_size: int):
        self.images = images
        self.image_size = image_size
        self.batch_size = batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.images) / self.batch_size)

    def __iter__(self) -> Iterator[tf.Tensor]:
        for start in range(0, len(self.images), self.batch_size):
            yield to_network_input(self.images[start : start + self.batch_size], self.image_size)


def scoring_batches(images: Images, image_size: ImageSize, batch_size: int | None = None) -> Iterable[tf.Tensor]:
    """Batches of images in their order; the last may be shorter.

    Args:
        images: uint8 (images, height, width, channels), in memory or in files, which are decoded in parallel.
        image_size: side in pixels that the networks take.
        batch_size: images in a batch; None takes `images_at_a_time`.

    Returns:
        An iterable of float32 (batch, image_size, image_size, channels) in [-1, 1], which can be iterated repeatedly.
    """
    batch_size = batch_size or images_at_a_time(image_size)
    if not isinstance(images, Pictures):
        return _ArrayBatches(images, image_size, batch_size)
    return decoded_ahead(tf.data.Dataset.range(len(images)), inputs_by_row(images, image_size), image_size, batch_size)


def decoded_ahead(
    files: tf.data.Dataset, decode: Callable[[tf.Tensor], Any], image_size: ImageSize, batch_size: int
) -> tf.data.Dataset:
    """Batches of images in files, decoded while others are scored; large images come one by one.

    Args:
        files: rows or names, one for each element.
        decode: makes the content of a batch from some of them.
        image_size: of the images that it makes.
        batch_size: images in a batch.
    """
    together = images_at_a_time(image_size, min(batch_size, FILES_PER_CALL))
    if images_at_a_time(image_size) == 1:
        # Each one that is decoded ahead takes additional memory.
        decoded = files.batch(1).map(decode)
        return (decoded if batch_size == 1 else decoded.rebatch(batch_size)).with_options(UNTUNED)
    decoded = files.batch(together).map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    return decoded.rebatch(batch_size).prefetch(BATCHES_AHEAD).with_options(UNTUNED)


def inputs_by_row(images: Images, image_size: ImageSize) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from rows to the networks' input that reads pixels at each call."""
    shape = (None, *sides_of(image_size), images.shape[-1])

    def read(rows: np.ndarray) -> np.ndarray:
        if isinstance(images, Pictures):
            return images.network_inputs(rows)
        return to_network_input(images[rows], image_size).numpy()

    def inputs_of(rows: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(read, [rows], tf.float32), shape)

    return inputs_of
