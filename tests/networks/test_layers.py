import keras
import numpy as np
import pytest
import tensorflow as tf

from agad_tf.networks import build_generator
from agad_tf.networks.layers import LeakyReLU


def test_normalization_other_than_batch_does_not_look_across_the_batch():
    images = tf.random.stateless_uniform((4, 32, 32, 1), (0, 0), -1, 1)
    for normalization in ("group", "instance", "none"):
        network = build_generator("encoder_decoder", width=1 / 8, normalization=normalization)
        together, alone = network(images, training=True)[:1], network(images[:1], training=True)
        np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_leaky_relu_is_that_of_keras_gradient_included(dtype):
    x = tf.cast(tf.constant([-3.0, -1e-6, -0.0, 0.0, 1e-6, 2.0]), dtype)
    found = []
    for layer in (LeakyReLU(0.2, dtype=dtype), keras.layers.LeakyReLU(0.2, dtype=dtype)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        found.append((y, tape.gradient(y, x, output_gradients=3 * tf.ones_like(x))))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(tf.cast(ours, tf.float32), tf.cast(theirs, tf.float32))


def test_the_gradient_of_leaky_relu_keeps_what_it_gives_and_not_what_it_takes():
    @tf.function(autograph=False)
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = LeakyReLU(0.2)(2 * x)
        return tape.gradient(y, x)

    graph = gradient.get_concrete_function(tf.TensorSpec((3,))).graph
    backward = next(node for node in graph.get_operations() if node.type == "LeakyReluGrad")
    assert backward.inputs[1].op.type == "LeakyRelu"
