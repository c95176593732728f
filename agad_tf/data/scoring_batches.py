"""From pixels to the batches that networks score, in the order of the images."""

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from agad_tf.data.images_in_files import FILES_PER_CALL, Images, Pictures
from agad_tf.data.preprocessing import ImageSize, sides_of, to_network_input

SCORING_BATCH_SIZE = 256


# Made ready while a step is under way.
BATCHES_AHEAD = 2


# tf.data's tuner sleeps, in the end for a minute at a time, and whoever stops using batches waits for it to wake.
UNTUNED = tf.data.Options()


UNTUNED.autotune.enabled = False


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


def scoring_batches(images: Images, image_size: ImageSize, batch_size: int = SCORING_BATCH_SIZE) -> Iterable[tf.Tensor]:
    """Images in their order, in batches of which the last may be short.

    Args:
        images: uint8 (images, height, width, channels), in memory or in files, which are decoded in parallel.
        image_size: side in pixels that the networks take.
        batch_size: images in a batch.

    Returns:
        float32 (batch, image_size, image_size, channels) in [-1, 1], again and again.
    """
    if not isinstance(images, Pictures):
        return _ArrayBatches(images, image_size, batch_size)
    rows = tf.data.Dataset.range(len(images)).batch(min(batch_size, FILES_PER_CALL))
    decode = inputs_by_row(images, image_size)
    inputs = rows.map(decode, num_parallel_calls=tf.data.AUTOTUNE).rebatch(batch_size)
    return inputs.prefetch(BATCHES_AHEAD).with_options(UNTUNED)


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
