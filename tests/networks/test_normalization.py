import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from agad_tf.networks.normalization import BatchNormalization


@pytest.fixture
def pair():
    """Our layer and Keras' own, with the same random weights and statistics."""
    rng = np.random.default_rng(0)
    pair = [kind(momentum=0.9, epsilon=1e-5) for kind in (BatchNormalization, layers.BatchNormalization)]
    for layer in pair:
        layer.build((None, 4, 4, 3))
    pair[0].set_weights([rng.uniform(0.5, 1.5, variable.shape) for variable in pair[0].weights])
    pair[1].set_weights(pair[0].get_weights())
    return pair


@pytest.mark.parametrize("training", [True, False])
def test_outputs_gradients_and_statistics_are_those_of_keras(pair, training):
    rng = np.random.default_rng(1)
    images, upstream = (tf.constant(rng.normal(2, 3, (5, 4, 4, 3)), tf.float32) for _ in range(2))
    results = []
    for layer in pair:
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images, training=training)
        gradients = tape.gradient(outputs, [images, *layer.trainable_variables], upstream)
        results.append([outputs, *gradients, *layer.weights])
    for found, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_bfloat16_images_keep_float32_statistics():
    layer = BatchNormalization(dtype="mixed_bfloat16")
    images = tf.random.stateless_normal((64, 8, 8, 2), (1, 2), 3.0, 2.0)
    outputs = layer(images, training=True)
    assert outputs.dtype == tf.bfloat16
    assert layer.moving_mean.dtype == "float32"
    np.testing.assert_allclose(layer.moving_mean, 0.01 * tf.reduce_mean(images, (0, 1, 2)), rtol=0.01)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("channels", "dtype"), [(8, tf.float32), (16, tf.bfloat16), (24, tf.float32)])
def test_bfloat16_images_with_few_channels_take_the_faster_float32_kernel(channels, dtype, training):
    layer = BatchNormalization(dtype="mixed_bfloat16")
    spec = tf.TensorSpec((2, 4, 4, channels), tf.bfloat16)
    graph = tf.function(lambda images: layer(images, training=training)).get_concrete_function(spec).graph
    (kernel,) = [op for op in graph.get_operations() if op.type.startswith("FusedBatchNorm")]
    assert kernel.inputs[0].dtype == dtype
    assert graph.outputs[0].dtype == tf.bfloat16
