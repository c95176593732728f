"""Building blocks of all networks."""

import math
from collections.abc import Callable

import keras
import tensorflow as tf
from keras import layers

from agad_tf.networks.convolutions import Convolution, TransposedConvolution
from agad_tf.networks.normalization import BatchNormalization

# Keras' own defaults (0.99 and 1e-3) differ from the family's: a run of a few hundred steps would be
# over before statistics with momentum 0.99 have reached those of the data.
BATCH_MOMENTUM = 0.9
BATCH_EPSILON = 1e-5
GROUPS = 8


@keras.saving.register_keras_serializable("agad_tf")
class LeakyReLU(layers.LeakyReLU):
    """Keras' layer, whose gradient uses the sign of the output, so that a step need not keep the input."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Multiplies negative values by the slope."""
        return _leaky_relu(self.negative_slope)(inputs)


def _leaky_relu(slope: float) -> Callable[[tf.Tensor], tf.Tensor]:
    @tf.custom_gradient
    def activate(inputs: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        outputs = tf.nn.leaky_relu(inputs, slope)
        return outputs, lambda upstream: tf.raw_ops.LeakyReluGrad(gradients=upstream, features=outputs, alpha=slope)

    return activate


def scaled_filters(filters: int, width: float) -> int:
    """The number of filters at a width, never less than one."""
    return max(1, round(filters * width))


def normalize(x: keras.KerasTensor, normalization: str) -> keras.KerasTensor:
    """Applies the normalisation layer called `normalization`, one of `agad_tf.config.choices.NORMALIZATIONS`."""
    if normalization == "batch":
        return BatchNormalization(momentum=BATCH_MOMENTUM, epsilon=BATCH_EPSILON)(x)
    if normalization == "group":
        return layers.GroupNormalization(groups=math.gcd(GROUPS, x.shape[-1]), epsilon=BATCH_EPSILON)(x)
    if normalization == "instance":
        return layers.GroupNormalization(groups=-1, epsilon=BATCH_EPSILON)(x)
    return x


def convolution(
    x: keras.KerasTensor, filters: int, kernel_size: int, strides: int, normalization: str
) -> keras.KerasTensor:
    """Convolution; without a bias if a normalisation would cancel it, as in the GANomaly family."""
    return Convolution(filters, kernel_size, strides, "same", use_bias=normalization == "none")(x)


def transposed_convolution(
    x: keras.KerasTensor, filters: int, kernel_size: int, strides: int, normalization: str
) -> keras.KerasTensor:
    """Transposed convolution, with a bias under the same condition as `convolution`."""
    return TransposedConvolution(filters, kernel_size, strides, "same", use_bias=normalization == "none")(x)


def as_float32(x: keras.KerasTensor) -> keras.KerasTensor:
    """Converts the output of a network to float32, because losses and scores are sums of many terms."""
    return layers.Activation("linear", dtype="float32")(x)
