"""From pixels to the batches that networks score, in the order of the images."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from agad_tf.data.images_in_files import FILES_PER_CALL, Images, Pictures
from agad_tf.data.preprocessing import ImageSize, sides_of, to_network_input

SCORING_BATCH_SIZE = 256
# Of so many pixels images are scored at a time, whatever the batch: with the networks of `own_images` 1.2 GiB.
SCORING_PIXELS = 2**22


# Made ready while a step is under way.
BATCHES_AHEAD = 2


# tf.data's tuner sleeps, in the end for a minute at a time, and whoever stops using batches waits for it to wake.
UNTUNED = tf.data.Options()


UNTUNED.autotune.enabled = False


def images_at_a_time(image_size: ImageSize, most: int = SCORING_BATCH_SIZE) -> int:
    """How many images are scored at a time: as many as asked for, and fewer where they are large.

    Args:
        image_size: of the images.
        most: images in a batch.
    """
    return max(1, min(most, SCORING_PIXELS // math.prod(sides_of(image_size))))


def spread(count: int, most: int) -> np.ndarray:
    """Rows of so many at most, evenly spread over all, int (rows,).

    Args:
        count: of all rows, at least 1.
        most: of those that are taken, at least 1.
    """
    kept = min(count, most)
    return np.arange(kept) * count // kept


class _ArrayBatches:
    """Batches of an array, made ready one by one.

    No pipeline: tf.data keeps some of every one that is built, and scoring would build one after each epoch. Making
    256 images ready takes no time beside scoring them.
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
    """Images in their order, in batches of which the last may be short.

    Args:
        images: uint8 (images, height, width, channels), in memory or in files, which are decoded in parallel.
        image_size: side in pixels that the networks take.
        batch_size: images in a batch; None takes `images_at_a_time`.

    Returns:
        float32 (batch, image_size, image_size, channels) in [-1, 1], again and again.
    """
    batch_size = batch_size or images_at_a_time(image_size)
    if not isinstance(images, Pictures):
        return _ArrayBatches(images, image_size, batch_size)
    return decoded_ahead(tf.data.Dataset.range(len(images)), inputs_by_row(images, image_size), image_size, batch_size)


def decoded_ahead(
    files: tf.data.Dataset, decode: Callable[[tf.Tensor], Any], image_size: ImageSize, batch_size: int
) -> tf.data.Dataset:
    """Batches of images in files that are decoded while others are scored, but for large ones, which come one by one.

    Args:
        files: rows or names, one an element.
        decode: makes what a batch holds of some of them.
        image_size: of the images that it makes.
        batch_size: images in a batch.
    """
    together = images_at_a_time(image_size, min(batch_size, FILES_PER_CALL))
    if images_at_a_time(image_size) == 1:
        # Each that is made ready while others are scored would be in memory beside them.
        decoded = files.batch(1).map(decode)
        return (decoded if batch_size == 1 else decoded.rebatch(batch_size)).with_options(UNTUNED)
    decoded = files.batch(together).map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    return decoded.rebatch(batch_size).prefetch(BATCHES_AHEAD).with_options(UNTUNED)


def inputs_by_row(images: Images, image_size: ImageSize) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from rows to the networks' input that reads their pixels each time."""
    shape = (None, *sides_of(image_size), images.shape[-1])

    def read(rows: np.ndarray) -> np.ndarray:
        if isinstance(images, Pictures):
            return images.network_inputs(rows)
        return to_network_input(images[rows], image_size).numpy()

    def inputs_of(rows: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(read, [rows], tf.float32), shape)

    return inputs_of
