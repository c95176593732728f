"""The training images as input of the networks: whole, or as windows of large images."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from agad_tf.config.seconds import CLOCK
from agad_tf.data.images_in_files import Images, joined
from agad_tf.data.masks import masks_at_size
from agad_tf.data.preprocessing import ImageSize, sides_of
from agad_tf.data.scoring_batches import inputs_by_row, scoring_batches
from agad_tf.data.splits import ABNORMAL, NORMAL, Split
from agad_tf.data.training_windows import plan_windows


class TrainingInputs(NamedTuple):
    """The training images as input of the networks.

    Attributes:
        of_rows: maps rows, int (n,), to inputs, float32 (n, height, width, channels) in [-1, 1]: images, or windows of
            large images.
        normals: number of normal rows, which come first.
        anomalies: number of rows after these, which are anomalies.
        masks_of: maps anomalies, int (n,) in [0, anomalies), to masks, float32 (n, height, width, 1), see
            `agad_tf.data.masks.masks_at_size`; None without masks.
        whole: the inputs of whole images, if `of_rows` returns windows.
    """

    of_rows: Callable[[tf.Tensor], tf.Tensor]
    normals: int
    anomalies: int
    masks_of: Callable[[tf.Tensor], tf.Tensor] | None = None
    whole: Optional["TrainingInputs"] = None


@CLOCK.within("images")
def training_inputs(
    train: Split,
    image_size: ImageSize,
    cache_bytes: float = math.inf,
    masks: Mapping[int, Sequence[Path]] | None = None,
    window: tuple[int, int] | None = None,
    seed: int = 0,
) -> TrainingInputs:
    """Prepares the training images, once for all epochs if memory allows.

    Args:
        train: the training images.
        image_size: side, or height and width, in pixels that images are resized to.
        cache_bytes: memory for prepared inputs. If they need more, they are prepared again for every batch, which only
            takes more time. Masks are cached after them.
        masks: files of the masks of labelled anomalies by their ids; empty or None means none.
        window: height and width in pixels of the windows that training uses; None uses whole images.
        seed: seed for the places of the windows.
    """
    normals, anomalies = train.of_label(NORMAL), train.of_label(ABNORMAL)
    images = joined([normals.images, anomalies.images])
    channels = images.shape[-1]
    files = [masks.get(row, ()) for row in anomalies.ids.tolist()] if masks else []
    if window is None:
        of_rows = _inputs_by_row(images, image_size, cache_bytes)
        left = cache_bytes - _bytes(len(images), image_size, channels)
        masks_of = _masks_by_row(files, image_size, left) if files else None
        return TrainingInputs(of_rows, len(normals.ids), len(anomalies.ids), masks_of)
    windows = plan_windows(len(normals.ids), files or [()] * len(anomalies.ids), sides_of(image_size), window, seed)
    whole = TrainingInputs(inputs_by_row(images, image_size), len(normals.ids), len(anomalies.ids))
    cached = _bytes(windows.count, window, channels) <= cache_bytes
    return TrainingInputs(
        windows.of_images(whole.of_rows, channels, cached),
        len(normals.ids) * windows.per_image,
        len(anomalies.ids) * windows.per_image,
        windows.of_masks(files, len(normals.ids)) if files else None,
        whole,
    )


def _inputs_by_row(images: Images, image_size: ImageSize, cache_bytes: float) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from rows to the networks' input, prepared once for all epochs if memory allows."""
    if not len(images):
        return lambda rows: tf.zeros((tf.shape(rows)[0], *sides_of(image_size), images.shape[-1]))
    if _bytes(len(images), image_size, images.shape[-1]) > cache_bytes:
        return inputs_by_row(images, image_size)
    bar = tqdm(scoring_batches(images, image_size), "reading", unit="batch", delay=1, leave=False, disable=None)
    cache = tf.concat(list(bar), axis=0)
    return lambda rows: tf.gather(cache, rows)


def _masks_by_row(
    files: Sequence[Sequence[Path]], image_size: ImageSize, cache_bytes: float
) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from the numbers of anomalies to their masks, as `_inputs_by_row`."""
    if _bytes(len(files), image_size, 1) <= cache_bytes:
        cache = tf.constant(masks_at_size(files, image_size))
        return lambda rows: tf.gather(cache, rows)

    def read(rows: np.ndarray) -> np.ndarray:
        return masks_at_size([files[row] for row in rows], image_size)

    shape = (None, *sides_of(image_size), 1)
    return lambda rows: tf.ensure_shape(tf.numpy_function(read, [rows], tf.float32), shape)


def _bytes(count: int, image_size: ImageSize, channels: int) -> int:
    """Memory of inputs of the networks, in bytes."""
    return count * math.prod(sides_of(image_size)) * channels * tf.float32.size
