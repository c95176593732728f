import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from agad_tf.networks.convolutions import Convolution, TransposedConvolution

# side, channels, filters, kernel size, stride: every kind of convolution in the networks
SHAPES = [(32, 1, 8, 4, 2), (16, 3, 8, 4, 2), (16, 8, 6, 4, 2), (4, 8, 6, 4, 4), (8, 8, 1, 4, 1)]
SHAPES += [(16, 3, 8, 3, 1), (8, 8, 6, 3, 2), (8, 6, 8, 2, 2), (8, 8, 3, 1, 1), (2, 6, 8, 3, 2)]


def outputs_and_gradients(layer, images, upstream):
    images = tf.constant(images, layer.compute_dtype)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images)
    gradients = tape.gradient(outputs, [images, *layer.trainable_variables], tf.cast(upstream, outputs.dtype))
    return [tf.cast(value, tf.float32).numpy() for value in (outputs, *gradients)]


@pytest.mark.parametrize("side, channels, filters, size, stride", SHAPES)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("mixed_bfloat16", 0.05)])
def test_functions_and_gradients_are_those_of_keras(
    side, channels, filters, size, stride, transposed, dtype, tolerance
):
    rng = np.random.default_rng(0)
    ours, keras_own = (TransposedConvolution, layers.Conv2DTranspose) if transposed else (Convolution, layers.Conv2D)
    image_side, outputs_side = (side // stride, side) if transposed else (side, side // stride)
    images = rng.normal(size=(3, image_side, image_side, channels)).astype(np.float32)
    upstream = rng.normal(size=(3, outputs_side, outputs_side, filters)).astype(np.float32)
    layer, expected = ours(filters, size, stride, "same", dtype=dtype), keras_own(filters, size, stride, "same")
    for each in (layer, expected):
        each.build(images.shape)
    for variable in layer.weights:
        variable.assign(rng.normal(size=variable.shape))
    expected.set_weights(layer.get_weights())
    for found, wanted in zip(
        outputs_and_gradients(layer, images, upstream), outputs_and_gradients(expected, images, upstream), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max())


@pytest.mark.parametrize("kind", [Convolution, TransposedConvolution])
@pytest.mark.parametrize("options", [{"padding": "valid"}, {"padding": "same", "dilation_rate": 2}])
def test_what_the_layers_do_not_compute_is_refused(kind, options):
    with pytest.raises(ValueError, match="padding='same' alone"):
        kind(4, 3, **options).build((None, 8, 8, 2))
