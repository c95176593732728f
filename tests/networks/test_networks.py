import numpy as np
import pytest
import tensorflow as tf

from agad_tf.networks import GENERATORS, build_discriminator, build_generator
from agad_tf.networks.layers import NORMALIZATIONS

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


def test_unet_plus_plus_nodes_see_all_nodes_before_them_on_their_level():
    network = build_generator("unet_plus_plus", (16, 16, 1), 1 / 8)
    inputs_of_nodes = [len(layer.input) for layer in network.layers if "concatenate" in layer.name]
    # X^{i,j} joins j nodes of its level and one from below, for i + j up to 4.
    assert sorted(inputs_of_nodes) == sorted(j + 1 for j in range(1, 5) for _ in range(5 - j))


def test_discriminator_gives_logits_and_the_features_before_its_classifier():
    network = build_discriminator((32, 32, 1))
    logits, latent = network(np.zeros((2, 32, 32, 1), np.float32))
    assert logits.shape == (2, 8, 8, 1)
    assert latent.shape == (2, 8, 8, 128)
    np.testing.assert_allclose(logits, network.get_layer("classifier")(latent), rtol=1e-5, atol=1e-6)


def test_initial_weights_are_drawn_as_in_ganomaly():
    network = build_generator("encoder_decoder", seed=3)
    kernels = np.concatenate([v.numpy().ravel() for v in network.variables if v.name == "kernel"])
    scales = np.concatenate([v.numpy().ravel() for v in network.variables if v.name == "gamma"])
    assert abs(kernels.mean()) < 1e-4
    assert kernels.std() == pytest.approx(0.02, rel=0.01)
    assert scales.mean() == pytest.approx(1, abs=0.005)
    assert scales.std() == pytest.approx(0.02, rel=0.15)


def test_seed_fixes_the_initial_weights():
    first, again, other = (build_generator("unet", width=1 / 8, seed=seed).variables for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    # Layers of equal shape must not get equal weights.
    kernels = [v.numpy() for v in first if v.name == "kernel"]
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels)


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


def test_normalization_other_than_batch_does_not_look_across_the_batch():
    images = tf.random.stateless_uniform((4, 32, 32, 1), (0, 0), -1, 1)
    for normalization in ("group", "instance", "none"):
        network = build_generator("encoder_decoder", width=1 / 8, normalization=normalization)
        together, alone = network(images, training=True)[:1], network(images[:1], training=True)
        np.testing.assert_allclose(together, alone, atol=1e-5)
