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


BOTH = [Convolution, TransposedConvolution]
KERAS_OWN = {Convolution: layers.Conv2D, TransposedConvolution: layers.Conv2DTranspose}


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(("size", "stride"), [(4, 2), (2, 2), (3, 1)])
@pytest.mark.parametrize(
    ("image_shape", "options"),
    [((8, 8), {"activation": "relu"}), ((8, 8), {"activation": "tanh", "use_bias": False}), ((4, 12), {})],
)
def test_activations_and_images_that_are_no_squares_are_computed_as_by_keras(kind, size, stride, image_shape, options):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, *image_shape, 6)).astype(np.float32)
    layer, expected = kind(2, size, stride, "same", **options), KERAS_OWN[kind](2, size, stride, "same", **options)
    for each in (layer, expected):
        each.build(images.shape)
    for variable in layer.weights:
        variable.assign(rng.normal(size=variable.shape))
    expected.set_weights(layer.get_weights())
    upstream = rng.normal(size=layer(images).shape).astype(np.float32)
    for found, wanted in zip(
        outputs_and_gradients(layer, images, upstream), outputs_and_gradients(expected, images, upstream), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("options", [{"padding": "valid"}, {"padding": "same", "dilation_rate": 2}])
def test_what_the_layers_do_not_compute_is_refused(kind, options):
    with pytest.raises(ValueError, match="only padding='same'"):
        kind(4, 3, **options).build((None, 8, 8, 2))


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({"strides": (1, 2)}, (8, 8), r"the same stride in both directions.*strides=\(1, 2\); give it one number"),
        ({"kernel_size": (3, 5)}, (8, 8), r"square kernels.*kernel_size=\(3, 5\); give it one number"),
        ({"data_format": "channels_first"}, (8, 8), "'channels_first'; give it data_format='channels_last'"),
        ({"kernel_size": 2, "strides": 3}, (9, 9), "kernel_size=2 with strides=3; give it kernel_size=3 or more"),
        ({}, (None, 8), r"known height and width.*\(None, None, 8, 2\); give keras.Input both"),
    ],
)
def test_what_would_come_out_wrong_is_refused_on_build(kind, options, shape, message):
    with pytest.raises(ValueError, match=f"{kind.__name__} takes .*{message}"):
        kind(**{"filters": 4, "kernel_size": 3, "padding": "same", **options}).build((None, *shape, 2))


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize(("shape", "sides"), [((None, 9, 8, 2), "9×8"), ((None, 8, 9, 2), "8×9")])
def test_sides_that_the_stride_does_not_divide_are_refused(size, shape, sides):
    message = f"multiples of the stride, but was given {sides} pixels with strides=2; resize or pad them"
    with pytest.raises(ValueError, match=message):
        Convolution(4, size, 2, "same").build(shape)
    layer = Convolution(4, size, 2, "same")
    layer.build((None, 8, 8, 2))
    with pytest.raises(ValueError, match=message):
        layer(np.zeros((1, *shape[1:]), np.float32))


def test_output_padding_is_refused():
    with pytest.raises(ValueError, match=r"was given output_padding=\(1, 1\); leave output_padding out"):
        TransposedConvolution(4, 4, 2, "same", output_padding=1).build((None, 8, 8, 2))
