"""Scores of images in files; the next images are decoded while the network works."""

import os
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from agad_tf.data.images_in_files import decode_files
from agad_tf.data.pixel_range import FULL_RANGE, PixelRange
from agad_tf.data.scoring_batches import decoded_ahead, images_at_a_time
from agad_tf.evaluation.localization import scores_and_error_maps
from agad_tf.models.agad import AGAD


class ScoredBatch(NamedTuple):
    """Some files with their scores and error maps.

    Attributes:
        files: paths, str (batch,).
        complaints: what is wrong with each file; empty for one that can be read.
        scores: float32 (batch,), higher is more abnormal; meaningless for files that cannot be read.
        error_maps: float32 (batch, height, width), see `agad_tf.evaluation.localization.scores_and_maps`; empty if they
            were not requested.
    """

    files: np.ndarray
    complaints: list[str]
    scores: np.ndarray
    error_maps: np.ndarray


def scored_batches(
    model: AGAD, paths: list[str], batch_size: int, with_error_maps: bool, pixel_range: PixelRange = FULL_RANGE
) -> Iterator[ScoredBatch]:
    """Scores images in files; the next images are decoded while the network scores.

    Args:
        model: the detector.
        paths: of the files.
        batch_size: images that are scored at a time, fewer if they are large.
        with_error_maps: whether to compute error maps.
        pixel_range: the values that are black and white in images of more than 8 bits.

    Yields:
        Batches, in the order of the paths.
    """
    size, channels = model.scoring_size, model.scoring_shape[2]
    look = tf.function(
        partial(scores_and_error_maps, model) if with_error_maps else lambda inputs: (model.scores_of_batch(inputs),),
        reduce_retracing=True,
        autograph=False,
    )

    def decode(files: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        decoded = decode_files(np.array([os.fsdecode(file) for file in files]), channels, size, pixel_range)
        return decoded.inputs, np.array([os.fsencode(complaint) for complaint in decoded.complaints], object)

    def read(files: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        inputs, complaints = tf.numpy_function(decode, [files], (tf.float32, tf.string))
        return files, tf.ensure_shape(inputs, (None, *size, channels)), tf.ensure_shape(complaints, (None,))

    files = tf.data.Dataset.from_tensor_slices([os.fsencode(path) for path in paths])
    batches = decoded_ahead(files, read, size, images_at_a_time(size, batch_size))
    for files, inputs, complaints in batches if paths else ():
        scores, *maps = look(inputs)
        del inputs  # The next batch needs its memory.
        error_maps = maps[0].numpy() if maps else np.empty(len(files))
        names = np.array([os.fsdecode(file) for file in files.numpy()], object)
        yield ScoredBatch(names, [os.fsdecode(text) for text in complaints.numpy()], scores.numpy(), error_maps)
