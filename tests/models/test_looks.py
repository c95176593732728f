"""Large images are scored in tiles, with the whole image's result."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from agad_tf.models.segmenting_agad import SegmentingAGAD
from agad_tf.networks import build_discriminator, build_generator, build_segmenter
from tests.models.test_tiles import lively, noise

CROP = (16, 16, 1)
WIDTH = 1 / 16
# The margin of a UNet and a segmenter is 160 pixels.
SIZE, LARGEST_TILE = (400, 48), 352


def build(normalization="batch", scales=(1, 4), segmentation=True):
    keras.utils.set_random_seed(0)
    network = (CROP, WIDTH, normalization, 1)
    return SegmentingAGAD(
        lively(build_generator("unet", *network)),
        build_discriminator(*network),
        lively(build_segmenter(*network), 1) if segmentation else None,
        scoring_shape=(*SIZE, 1),
        scales=scales,
    )


def in_tiles(monkeypatch, whole, **options):
    """The same model, which takes tiles of images that are larger than `LARGEST_TILE`."""
    monkeypatch.setattr(SegmentingAGAD, "LARGEST_TILE", LARGEST_TILE)
    model = build(**options)
    model.set_weights(whole.get_weights())
    return model


@pytest.mark.parametrize("options", [{}, {"segmentation": False}, {"scales": (2,)}], ids=str)
def test_a_large_image_is_scored_in_tiles_as_it_is_whole(options, monkeypatch):
    whole = build(**options)
    whole.adapt(noise(4, *SIZE, 1, seed=1))
    tiled = in_tiles(monkeypatch, whole, **options)
    images = noise(2, *SIZE, 1)
    expected = whole.reconstruct_score_and_map(images)
    assert [np.std(each) > 0.02 for each in expected] == [True] * 3
    # What a tile's margin misses would be far beyond rounding.
    for found, value in zip(tiled.reconstruct_score_and_map(images), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-3, atol=1e-3)
    for found, value in zip(tiled.score_and_map(images), expected[1:], strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(tiled(images), expected[0], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(tiled.anomaly_score(images), expected[1], rtol=1e-3)


def test_networks_see_no_more_than_a_tile(monkeypatch):
    whole = build(scales=(1,))
    tiled = in_tiles(monkeypatch, whole, scales=(1,))
    seen = []

    def watched(self, inputs, *args, **kwargs):
        seen.append(tuple(inputs.shape))
        return call(self, inputs, *args, **kwargs)

    call = keras.layers.Conv2D.call
    monkeypatch.setattr(keras.layers.Conv2D, "call", watched)
    tiled.scores_of_batch(noise(2, *SIZE, 1))
    assert max(shape[1] for shape in seen) == LARGEST_TILE
    assert {shape[0] for shape in seen} == {1}


def test_statistics_of_the_batch_are_those_of_whole_images(monkeypatch):
    whole = build(scales=(1,))
    whole.adapt(noise(4, *SIZE, 1, seed=1))
    tiled = in_tiles(monkeypatch, whole, scales=(1,))
    images = noise(2, *SIZE, 1)
    for found, expected in zip(*(each.reconstruct_and_score(images, True) for each in (tiled, whole)), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_networks_that_look_at_the_whole_image_take_it_whole(monkeypatch):
    whole = build("instance", scales=(1,))
    model = in_tiles(monkeypatch, whole, normalization="instance", scales=(1,))
    images = noise(1, *SIZE, 1)
    np.testing.assert_array_equal(model(images), whole(images))


def test_normal_images_may_come_in_batches():
    images = noise(6, *SIZE, 1, seed=1)
    at_once, in_batches = build(scales=(4,)), build(scales=(4,))
    at_once.adapt(images, unseen=images[:4])
    in_batches.adapt(iter([images[:4], images[4:]]), unseen=tf.data.Dataset.from_tensor_slices(images[:4]).batch(3))
    for found, expected in zip(in_batches.score_statistics, at_once.score_statistics, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
