"""tf.data pipelines: from raw pixels to the batches that the networks see."""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from agad_tf.config import UsageError
from agad_tf.data.protocols import ABNORMAL, NORMAL, Split

SCORING_BATCH_SIZE = 256


class BatchPlan(NamedTuple):
    """How many images of each label a training batch holds, and how many batches an epoch has."""

    normals: int
    anomalies: int
    steps_per_epoch: int


def to_network_input(images: tf.Tensor, image_size: int) -> tf.Tensor:
    """Resizes raw images and scales them.

    Training, scoring and the exported detector all see pixels through this function.

    Args:
        images: uint8 or float (batch, height, width, channels) in [0, 255], of any size.
        image_size: side in pixels of what comes out.

    Returns:
        float32 (batch, image_size, image_size, channels) in [-1, 1].
    """
    images = tf.cast(images, tf.float32)
    if images.shape[1:3] != (image_size, image_size):
        images = tf.image.resize(images, (image_size, image_size), antialias=True)
    return images / 127.5 - 1.0


def plan_batches(train: Split, batch_size: int, min_anomalies: int) -> BatchPlan:
    """Divides a batch between normals and anomalies: their share of the training set, yet never below the least.

    Args:
        train: the training images.
        batch_size: images in a batch; at least 2 where the training set has anomalies.
        min_anomalies: least number of anomalies in a batch, where the training set has any (Section 3.3.2).

    Returns:
        The plan; an epoch passes once over the normal images, in whole batches.

    Raises:
        UsageError: the training set has fewer normal images than one batch needs.
    """
    normal_count = int(np.sum(train.labels == NORMAL))
    share = 1 - normal_count / len(train.labels)
    anomalies = min(max(min_anomalies, round(batch_size * share)), batch_size - 1) if share else 0
    normals = batch_size - anomalies
    if normals > normal_count:
        raise UsageError(
            f"A batch of --batch_size={batch_size} needs {normals} normal images, and the training set has "
            f"{normal_count}; choose a smaller --batch_size."
        )
    return BatchPlan(normals, anomalies, normal_count // normals)


def training_batches(
    train: Split, image_size: int, plan: BatchPlan, epochs: int, seed: int, first_epoch: int = 0
) -> tf.data.Dataset:
    """All batches of a training run, or of what is left of it.

    The order within an epoch follows from the seed and the epoch's number alone, so that a run that is resumed
    sees what an unbroken one would have seen.

    Args:
        train: the training images.
        image_size: side in pixels that the networks take.
        plan: from `plan_batches`.
        epochs: number of the epoch to end before.
        seed: of the order.
        first_epoch: number of the epoch to begin with.

    Returns:
        Dataset of images, float32 (batch, image_size, image_size, channels) in [-1, 1], and labels, float32
        (batch,): normals first, then `plan.anomalies` anomalies.
    """
    normals = _network_inputs(train.of_label(NORMAL).images, image_size)
    anomalies = _network_inputs(train.of_label(ABNORMAL).images, image_size)
    labels = tf.constant([0.0] * plan.normals + [1.0] * plan.anomalies)

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        epoch_seed = tf.random.fold_in(tf.constant([seed, 0], tf.int64), epoch)
        return tf.data.Dataset.from_tensor_slices(
            (
                _order(len(normals), plan.steps_per_epoch, plan.normals, epoch_seed),
                _order(len(anomalies), plan.steps_per_epoch, plan.anomalies, epoch_seed),
            )
        )

    def batch(normal_rows: tf.Tensor, anomaly_rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.concat([tf.gather(normals, normal_rows), tf.gather(anomalies, anomaly_rows)], axis=0), labels

    return (
        tf.data.Dataset.range(first_epoch, epochs)
        .flat_map(one_epoch)
        .map(batch, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def scoring_batches(images: np.ndarray, image_size: int, batch_size: int = SCORING_BATCH_SIZE) -> tf.data.Dataset:
    """Images in their order, in batches of which the last may be short.

    Args:
        images: uint8 (images, height, width, channels).
        image_size: side in pixels that the networks take.
        batch_size: images in a batch.

    Returns:
        Dataset of float32 (batch, image_size, image_size, channels) in [-1, 1].
    """
    return (
        tf.data.Dataset.from_tensor_slices(images)
        .batch(batch_size)
        .map(lambda batch: to_network_input(batch, image_size), num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def _network_inputs(images: np.ndarray, image_size: int) -> tf.Tensor:
    """All images as the networks take them, resized once for all epochs: the cache that batches are gathered from."""
    if not len(images):
        return tf.zeros((0, image_size, image_size, images.shape[-1]))
    return tf.concat(list(scoring_batches(images, image_size)), axis=0)


def _order(count: int, steps: int, per_step: int, seed: tf.Tensor) -> tf.Tensor:
    """Which images each batch of an epoch holds: all in random order, and again in another one until there are enough.

    Returns:
        int (steps, per_step), in [0, count).
    """
    rounds = math.ceil(steps * per_step / count) if count else 0
    shuffled = [
        tf.random.experimental.stateless_shuffle(tf.range(count), tf.random.fold_in(seed, turn))
        for turn in range(rounds)
    ]
    rows = tf.concat([*shuffled, tf.zeros(0, tf.int32)], axis=0)
    return tf.reshape(rows[: steps * per_step], (steps, per_step))
