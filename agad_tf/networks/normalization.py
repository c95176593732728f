"""Batch normalisation with fused kernels, and with statistics of the whole batch if replicas share it."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

# In bfloat16, oneDNN's kernel is several times slower than in float32 unless channels are a multiple of this.
LANES = 16


@keras.saving.register_keras_serializable("agad_tf")
class BatchNormalization(layers.BatchNormalization):
    """Keras' layer, in a third of its time.

    Keras' batch normalisation makes a dozen passes over the images, always in float32; TensorFlow's kernel makes three
    and reads bfloat16. With `synchronized`, replicas share the statistics of the global batch, with one all-reduce
    forward and one backward instead of Keras' three each.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        """Normalises images, float (batch, height, width, channels), by channel."""
        gamma, beta, *moving = (tf.convert_to_tensor(variable) for variable in self.variables)
        if not (training and self.trainable):
            return _fused(inputs, gamma, beta, self.epsilon, *moving)[0]
        replica = tf.distribute.get_replica_context()
        if self.synchronized and replica is not None and replica.num_replicas_in_sync > 1:
            outputs, *batch = _synchronized(self.epsilon, moving[0])(inputs, gamma, beta)
        else:
            outputs, *batch = _fused(inputs, gamma, beta, self.epsilon)
        for variable, before, new in zip((self.moving_mean, self.moving_variance), moving, batch, strict=True):
            variable.assign(before * self.momentum + new * (1 - self.momentum))
        return outputs


def _fused(
    inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float, *statistics: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalises by the given mean and variance, or by those of the images; also returns these."""
    fills_lanes = inputs.shape[-1] % LANES == 0
    images = tf.cast(inputs, tf.float32) if inputs.dtype == tf.bfloat16 and not fills_lanes else inputs
    outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        images, gamma, beta, *statistics, epsilon=epsilon, is_training=not statistics
    )
    if not statistics:
        # The kernel returns the unbiased estimate, but normalises by the biased variance.
        count = _count(inputs)
        variance *= (count - 1) / count
    return tf.cast(outputs, inputs.dtype), mean, variance


def _synchronized(epsilon: float, moving_mean: tf.Tensor) -> Any:
    """Batch normalisation by the statistics of all replicas' images, with its gradient.

    Args:
        epsilon: added to the variance.
        moving_mean: close to the means; sums of squares are taken about it, so that fewer digits cancel.

    Returns:
        A function of images x, scale γ and offset β that returns γ·(x − μ)/σ + β, μ and σ².
    """

    @tf.custom_gradient
    def normalize(inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Any:
        # Only for its moments: even so, the fused kernel is faster than sums over the images.
        _, own_mean, own_variance = _fused(inputs, gamma, beta, epsilon)
        own_shift = own_mean - moving_mean
        own_sums = _count(inputs) * tf.stack([own_shift, own_variance + tf.square(own_shift), tf.ones_like(own_mean)])
        total, square_total, count = tf.unstack(_sum_over_replicas(own_sums))
        shift = total / count
        mean = moving_mean + shift
        variance = tf.maximum(square_total / count - tf.square(shift), 0.0)
        outputs, *_ = _fused(inputs, gamma, beta, epsilon, mean, variance)

        def gradient(upstream: tf.Tensor, *_: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            x, dy = tf.cast(inputs, tf.float32), tf.cast(upstream, tf.float32)
            inverse = tf.math.rsqrt(variance + epsilon)
            dbeta = tf.reduce_sum(dy, axis=(0, 1, 2))
            dgamma = (tf.reduce_sum(dy * x, axis=(0, 1, 2)) - mean * dbeta) * inverse
            # γ and β get this replica's share of their gradients, like all weights, but x needs the whole sums.
            dbeta_mean, dgamma_mean = tf.unstack(_sum_over_replicas(tf.stack([dbeta, dgamma])) / count)
            slope = dgamma_mean * inverse
            dx = gamma * inverse * (dy - slope * x + (slope * mean - dbeta_mean))
            return tf.cast(dx, inputs.dtype), dgamma, dbeta

        return (outputs, tf.stop_gradient(mean), tf.stop_gradient(variance)), gradient

    return normalize


def _count(images: tf.Tensor) -> tf.Tensor:
    """How many values a channel has."""
    return tf.cast(tf.size(images) // tf.shape(images)[-1], tf.float32)


def _sum_over_replicas(value: tf.Tensor) -> tf.Tensor:
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)
