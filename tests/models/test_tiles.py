"""Images in tiles: the result is that of the whole image."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from agad_tf.models.network_copies import resized
from agad_tf.models.tiles import in_tiles, tiling
from agad_tf.networks import build_generator, build_segmenter
from agad_tf.networks.reach import Reach, reach_of

WIDTH = 1 / 16


def lively(network, seed=0):
    """Gives a network weights that keep the size of what they see, so that what is far away shows in its output."""
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2DTranspose):
            inputs = layer.kernel.shape[3] * (layer.kernel_size[0] // layer.strides[0]) ** 2
        elif isinstance(layer, keras.layers.Conv2D):
            inputs = np.prod(layer.kernel.shape[:3])
        else:
            continue
        layer.kernel.assign(rng.normal(0, np.sqrt(2 / inputs), layer.kernel.shape))
    return network


def noise(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).uniform(-1, 1, shape), tf.float32)


def at_size(network, size):
    of_size = resized(network, size)
    return lambda images: of_size(images, training=False)


@pytest.fixture(scope="module")
def unet():
    return lively(build_generator("unet", (32, 32, 1), WIDTH, seed=0))


@pytest.mark.parametrize("name", ["encoder_decoder", "unet", "unet_plus_plus"])
def test_a_generator_gives_in_tiles_what_it_gives_of_the_whole_image(name):
    network = lively(build_generator(name, (32, 32, 3), WIDTH, seed=0))
    images = noise(2, 384, 288, 3)
    tiles = tiling((384, 288), reach_of(network), 272)
    assert min(tiles.counts) > 1
    whole = at_size(network, (384, 288))(images)
    assert np.std(whole) > 0.02
    np.testing.assert_allclose(in_tiles(at_size(network, tiles.tile), images, tiles), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(464, 352), (368, 400), (96, 512)])
def test_reconstruction_and_segmentation_take_one_pass(unet, size):
    segmenter = lively(build_segmenter((32, 32, 1), WIDTH, seed=1), 1)

    def maps(sides):
        generate, segment = at_size(unet, sides), at_size(segmenter, sides)

        def function(images):
            reconstruction = generate(images)
            return tf.concat([reconstruction, segment(tf.concat([images, reconstruction], axis=-1))], axis=-1)

        return function

    images = noise(1, *size, 1)
    tiles = tiling(size, reach_of(unet, segmenter), 352)
    assert not tiles.is_one_tile
    whole = maps(size)(images)
    assert np.std(whole, axis=(0, 1, 2)).min() > 0.02
    np.testing.assert_allclose(in_tiles(maps(tiles.tile), images, tiles), whole, rtol=1e-4, atol=1e-5)


def test_tiles_are_put_where_they_come_from():
    """Without a network: places of all pixels, of a batch, where the last tiles overlap the ones before."""
    images = tf.reshape(tf.range(3 * 112 * 80 * 2, dtype=tf.float32), (3, 112, 80, 2))
    tiles = tiling((112, 80), Reach(16, 16), 64)
    assert [count * core - side for count, core, side in zip(tiles.counts, tiles.core, tiles.image, strict=True)] == [
        *(16, 16)
    ]
    seen = []

    def function(part):
        seen.append(part.shape)
        return part[..., ::-1]

    np.testing.assert_array_equal(in_tiles(function, images, tiles), images[..., ::-1])
    assert set(seen) == {(1, 64, 64, 2)}
    assert len(seen) == 3 * np.prod(tiles.counts)


def test_an_image_no_larger_than_a_tile_is_given_as_it_is():
    images = noise(2, 48, 32, 1)
    tiles = tiling((48, 32), Reach(16, 80), 48)
    given = []
    in_tiles(given.append, images, tiles)
    assert given[0] is images


def test_a_saved_model_takes_tiles_of_any_number_of_images(unet, tmp_path):
    size = (256, 208)
    tiles = tiling(size, reach_of(unet), 208)
    module = tf.Module()
    module.network = resized(unet, tiles.tile)
    signature = [tf.TensorSpec((None, *size, 1))]

    def reconstruct(images):
        return in_tiles(lambda part: module.network(part, training=False), images, tiles)

    module.reconstruct = tf.function(reconstruct, input_signature=signature)
    assert module.reconstruct.get_concrete_function().output_shapes == (None, *size, 1)
    tf.saved_model.save(module, tmp_path / "saved")
    loaded = tf.saved_model.load(tmp_path / "saved")
    for count in (1, 3):
        images = noise(count, *size, 1)
        np.testing.assert_allclose(loaded.reconstruct(images), at_size(unet, size)(images), rtol=1e-4, atol=1e-5)


def test_a_network_looks_as_far_as_is_said_and_no_further(unet):
    """A block of 16 pixels at 128 sees what is 64 before it and 79 after it."""
    assert reach_of(unet) == Reach(16, 80)
    network = at_size(unet, (16, 304))
    images = np.array(noise(1, 16, 304, 1))
    block = np.asarray(network(images))[:, :, 128:144]
    for column, changes in ((63, False), (64, True), (222, True), (223, False)):
        changed = images.copy()
        changed[:, :, column] += 50
        assert np.any(np.asarray(network(changed))[:, :, 128:144] != block) == changes, column


@pytest.mark.parametrize("side", [32, 48, 64])
def test_the_stride_of_an_encoder_decoder_is_its_side(side):
    assert reach_of(build_generator("encoder_decoder", (side, side, 1), WIDTH)).stride == side


def test_a_transposed_convolution_may_look_back_alone():
    images = keras.Input((32, 16, 1))
    cells = keras.layers.Conv2D(1, 2, 2, "same", kernel_initializer="ones")(images)
    outputs = keras.layers.Conv2DTranspose(1, 3, 2, "same", kernel_initializer="ones")(cells)
    network = keras.Model(images, outputs)
    assert reach_of(network) == Reach(2, 2)
    tiles = tiling((32, 16), reach_of(network), 12)
    whole = network(noise(1, 32, 16, 1))
    found = in_tiles(at_size(network, tiles.tile), noise(1, 32, 16, 1), tiles)
    np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-5)


def test_what_looks_at_the_whole_image_is_refused():
    with pytest.raises(ValueError, match=r"GroupNormalization.*whole image"):
        reach_of(build_generator("unet", (32, 32, 1), WIDTH, "group"))


@pytest.mark.parametrize(
    ("size", "largest", "complaint"),
    [((100, 96), 64, "100×96 pixels.*stride 16"), ((512, 96), 160, "160 pixels are too small.*at least 176 pixels")],
)
def test_tiles_that_cannot_be_are_refused(size, largest, complaint):
    with pytest.raises(ValueError, match=complaint):
        tiling(size, Reach(16, 80), largest)


def test_images_of_another_size_than_planned_are_refused():
    with pytest.raises(ValueError, match="64×64"):
        in_tiles(tf.identity, noise(1, 48, 64, 1), tiling((64, 64), Reach(16, 0)))


@pytest.mark.parametrize("side", range(208, 2000, 112))
def test_tiles_are_no_larger_than_allowed_and_no_more_than_needed(side):
    tiles = tiling((side, 16), Reach(16, 64), 256)
    assert tiles.tile[0] <= 256
    assert tiles.counts[0] <= np.ceil(side / 128)
    assert tiles.counts[1] == 1
