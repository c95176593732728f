"""The initial weights of every network: N(0, 0.02), BatchNorm scale N(1, 0.02), as in GANomaly."""

import zlib
from collections.abc import Sequence

import keras
import tensorflow as tf

WEIGHT_STDDEV = 0.02

# By the end of a variable's name: mean and standard deviation of the normal distribution it is drawn from.
_DISTRIBUTIONS = {
    "kernel": (0.0, WEIGHT_STDDEV),
    "gamma": (1.0, WEIGHT_STDDEV),
    "bias": (0.0, 0.0),
    "beta": (0.0, 0.0),
    "moving_mean": (0.0, 0.0),
    "moving_variance": (1.0, 0.0),
}


def has_distribution(variable: keras.Variable) -> bool:
    """Whether `draw_weights` draws a value for this variable, as it does for all of this package's networks."""
    return _distribution_of(variable) is not None


def draw_weights(variables: Sequence[keras.Variable], seed: tf.Tensor) -> list[tf.Tensor]:
    """Draws a value for each variable; the same seed always draws the same values.

    It is a pure function of its seed, for the initial weights of a network and for a discriminator that is reset in
    training, and gives every replica the same values.

    Args:
        variables: kernels, biases, scales and offsets of normalisation, and moving statistics.
        seed: int (2,), as for `tf.random.stateless_normal`.

    Returns:
        One tensor for each variable, of its shape and dtype.

    Raises:
        ValueError: `has_distribution` is false for a variable.
    """
    values = []
    for index, variable in enumerate(variables):
        distribution = _distribution_of(variable)
        if distribution is None:
            raise ValueError(f"There is no initial distribution for a variable called '{variable.name}'.")
        mean, stddev = distribution
        if stddev:
            variable_seed = tf.random.fold_in(seed, index)
            value = tf.random.stateless_normal(variable.shape, variable_seed, mean, stddev, variable.dtype)
        else:
            value = tf.fill(variable.shape, tf.cast(mean, variable.dtype))
        values.append(value)
    return values


def _distribution_of(variable: keras.Variable) -> tuple[float, float] | None:
    # A separable convolution has a depthwise_kernel and a pointwise_kernel.
    return next((values for end, values in _DISTRIBUTIONS.items() if variable.name.endswith(end)), None)


def initialize(network: keras.Model, seed: int) -> keras.Model:
    """Gives a network its initial weights, in place, and returns it.

    The seed includes the network's name, so that generator and discriminator do not start with equal kernels.
    """
    network_seed = tf.constant([seed, zlib.crc32(network.name.encode()) % 2**31])
    for variable, value in zip(network.variables, draw_weights(network.variables, network_seed), strict=True):
        variable.assign(value)
    return network
