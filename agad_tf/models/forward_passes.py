"""Forward passes of a batch, and the batch normalisation of labelled anomalies."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Passes(NamedTuple):
    """The outputs of the networks for a batch, lines 3 and 4 of Algorithm 1."""

    reconstruction: tf.Tensor  # x̂ = G(x), which is also the pseudo-anomaly
    re_reconstruction: tf.Tensor  # x̂' = G(x̂); x̂ itself where neither loss needs it
    logits: tf.Tensor  # y
    latent: tf.Tensor  # z = D_z(x)
    reconstruction_logits: tf.Tensor  # ŷ
    reconstruction_latent: tf.Tensor  # ẑ = D_z(x̂)


def passes_by_label(
    forward: Callable[[tf.Tensor, bool], Passes],
    images: tf.Tensor,
    labels: tf.Tensor,
    anomaly_normalization: str,
) -> Passes:
    """Passes normal images and anomalies through the networks one after the other.

    Args:
        forward: passes images through the networks as one batch; its second argument is whether batch normalisation
            uses the statistics of the batch.
        images: x, float (batch, height, width, channels) in [-1, 1].
        labels: float (batch,): 0 normal, 1 abnormal.
        anomaly_normalization: "separate", anomalies form a separate batch; "frozen", they are normalised by the moving
            statistics.

    Returns:
        The outputs of the networks, in the order of the images.

    Raises:
        tf.errors.InvalidArgumentError: the batch has only one kind of image.
    """
    abnormal = tf.cast(labels, tf.int32)
    rows = tf.dynamic_partition(tf.range(tf.shape(abnormal)[0]), abnormal, 2)
    both_kinds = [
        tf.debugging.assert_positive(
            tf.size(row),
            f"anomaly_normalization='{anomaly_normalization}' needs both kinds of image in every batch, but this one "
            f"has no {kind} ones; use 'joint' or add some.",
        )
        for row, kind in zip(rows, ("normal", "abnormal"), strict=True)
    ]
    # In a graph, only this makes the networks wait for the check.
    with tf.control_dependencies([check for check in both_kinds if check is not None]):
        parts = tf.dynamic_partition(images, abnormal, 2)
    by_batch = (True, anomaly_normalization == "separate")
    of_parts = [forward(part, training) for part, training in zip(parts, by_batch, strict=True)]
    return Passes(*(tf.dynamic_stitch(rows, pair) for pair in zip(*of_parts, strict=True)))
