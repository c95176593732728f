import numpy as np
import pytest

from agad_tf.config.choices import GENERATORS, NORMALIZATIONS
from agad_tf.networks import build_generator

PUBLISHED_WEIGHTS = {"encoder_decoder": 2_137_728, "unet": 7.76e6, "unet_plus_plus": 9.04e6}
TOLERANCE = {"encoder_decoder": 0, "unet": 0.02, "unet_plus_plus": 0.02}


def weight_count(network):
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


@pytest.mark.parametrize("name", GENERATORS)
def test_generator_has_as_many_weights_as_published(name):
    found = weight_count(build_generator(name, (32, 32, 3)))
    assert abs(found - PUBLISHED_WEIGHTS[name]) <= TOLERANCE[name] * PUBLISHED_WEIGHTS[name]


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize(("size", "channels"), [(32, 1), (64, 3)])
def test_generator_gives_an_image_of_the_same_shape_in_tanh_range(name, normalization, size, channels):
    network = build_generator(name, (size, size, channels), 1 / 16, normalization)
    images = np.random.default_rng(0).uniform(-1, 1, (2, size, size, channels)).astype(np.float32)
    output = network(images, training=True)
    assert output.shape == images.shape
    assert np.abs(output).max() <= 1
    assert np.std(output) > 0


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("size", [16, 48, 128, 256])
def test_generator_takes_any_size_that_its_depth_divides(name, size):
    assert build_generator(name, (size, size, 1), 1 / 32).output_shape == (None, size, size, 1)


def test_width_scales_the_filters():
    full, half = (weight_count(build_generator("unet", width=width)) for width in (0.5, 0.25))
    assert 3.5 < full / half < 4.5


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"name": "vgg"}, "vgg.*encoder_decoder, unet, unet_plus_plus"),
        ({"image_shape": (30, 30, 1)}, "30×30.*multiple of 16"),
        ({"image_shape": (8, 8, 1)}, "8×8"),
        ({"image_shape": (32, 48, 1)}, "32×48"),
        ({"image_shape": (32, 32, 4)}, "4 channels"),
        ({"width": 0}, "Width is 0"),
        ({"width": float("nan")}, "Width is nan"),
        ({"normalization": "layer"}, "layer.*batch, group, instance, none"),
    ],
)
def test_wrong_arguments_are_refused_with_what_is_allowed(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        build_generator(**{"name": "unet", **arguments})
