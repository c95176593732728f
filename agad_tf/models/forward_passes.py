"""What the networks make of a batch: lines 2 and 3 of Algorithm 1, under each regime of batch normalisation."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

ReReconstruct = Callable[[tf.Tensor, bool], tf.Tensor]
"""Gives x̂' = G(x̂) from x̂ and whether batch normalisation uses the statistics of the batch."""


class Passes(NamedTuple):
    """What the networks say of a batch."""

    reconstruction: tf.Tensor  # x̂ = G(x), which is also the pseudo-anomaly
    re_reconstruction: tf.Tensor  # x̂' = G(x̂); x̂ itself where neither loss needs it
    logits: tf.Tensor  # y
    latent: tf.Tensor  # z = D_z(x)
    reconstruction_logits: tf.Tensor  # ŷ
    reconstruction_latent: tf.Tensor  # ẑ = D_z(x̂)


def training_passes(
    generator: keras.Model,
    discriminator: keras.Model,
    images: tf.Tensor,
    labels: tf.Tensor,
    *,
    anomaly_normalization: str,
    re_reconstruct: ReReconstruct | None,
) -> Passes:
    """Sends a batch through the networks to learn from it.

    Args:
        generator: G.
        discriminator: D.
        images: x, float (batch, height, width, channels) in [-1, 1].
        labels: float (batch,): 0 normal, 1 abnormal.
        anomaly_normalization: "joint", "separate" or "frozen", see `agad_tf.AGAD`.
        re_reconstruct: how x̂ goes through G; None where it does not.

    Returns:
        What the networks said, in the order of the images.

    Raises:
        tf.errors.InvalidArgumentError: the kinds of image are to be apart, and the batch has one of them only.
    """
    if anomaly_normalization == "joint":
        return passes(generator, discriminator, images, training=True, re_reconstruct=re_reconstruct)
    abnormal = tf.cast(labels, tf.int32)
    rows = tf.dynamic_partition(tf.range(tf.shape(abnormal)[0]), abnormal, 2)
    both_kinds = [
        tf.debugging.assert_positive(
            tf.size(row),
            f"anomaly_normalization='{anomaly_normalization}' needs both kinds of image in every "
            f"batch, and this one has no {kind} ones; use 'joint' or add some.",
        )
        for row, kind in zip(rows, ("normal", "abnormal"), strict=True)
    ]
    # In a graph nothing else would make the networks wait for the check.
    with tf.control_dependencies([check for check in both_kinds if check is not None]):
        parts = tf.dynamic_partition(images, abnormal, 2)
    separate = anomaly_normalization == "separate"
    of_parts = [
        passes(generator, discriminator, part, training=training, re_reconstruct=re_reconstruct)
        for part, training in zip(parts, (True, separate), strict=True)
    ]
    return Passes(*(tf.dynamic_stitch(rows, pair) for pair in zip(*of_parts, strict=True)))


def passes(
    generator: keras.Model,
    discriminator: keras.Model,
    images: tf.Tensor,
    *,
    training: bool,
    re_reconstruct: ReReconstruct | None,
) -> Passes:
    """Sends images through the networks as one batch.

    Args:
        generator: G.
        discriminator: D.
        images: x, float (batch, height, width, channels) in [-1, 1].
        training: whether batch normalisation uses the statistics of the batch, and moves its own.
        re_reconstruct: how x̂ goes through G; None where it does not.

    Returns:
        What the networks said.
    """
    reconstruction = generator(images, training=training)
    logits, latent = discriminator(images, training=training)
    re_reconstruction = re_reconstruct(reconstruction, training) if re_reconstruct else reconstruction
    reconstruction_logits, reconstruction_latent = discriminator(reconstruction, training=training)
    return Passes(reconstruction, re_reconstruction, logits, latent, reconstruction_logits, reconstruction_latent)


def call_keeping_statistics(
    network: keras.Model,
    images: tf.Tensor,
    training: bool = True,
    stand_ins: Mapping[str, keras.Variable] | None = None,
) -> Any:
    """Calls a network and leaves its moving statistics as they are, though a training call would move them.

    Args:
        network: G or D.
        images: float (batch, height, width, channels) in [-1, 1].
        training: whether batch normalisation uses the statistics of the batch.
        stand_ins: variables to use in place of the network's own, by the path of what they replace.

    Returns:
        What the network gives.
    """
    stand_ins = stand_ins or {}
    trainable, non_trainable = (
        [stand_ins.get(variable.path, variable).value for variable in variables]
        for variables in (network.trainable_variables, network.non_trainable_variables)
    )
    outputs, _ = network.stateless_call(trainable, non_trainable, images, training=training)
    return outputs
