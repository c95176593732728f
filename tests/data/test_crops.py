"""Images averaged down to a smaller size."""

import numpy as np
import pytest
import tensorflow as tf

from agad_tf.data import crops
from agad_tf.data.crops import at_size


@pytest.mark.parametrize("size", [(16, 16), (32, 16), (48, 32), (96, 64)])
def test_images_are_averaged_by_the_area_that_a_pixel_stands_for(size):
    images = np.random.default_rng(0).normal(size=(2, 96, 64, 3)).astype(np.float32)
    expected = tf.image.resize(images, size, method="area")
    np.testing.assert_allclose(at_size(images, size), expected, atol=1e-5)


def test_averaging_works_where_the_sizes_have_no_common_divisor():
    images = np.random.default_rng(0).normal(size=(2, 50, 70, 1)).astype(np.float32)
    np.testing.assert_allclose(at_size(images, (16, 48)), tf.image.resize(images, (16, 48), method="area"), atol=1e-5)


@pytest.mark.parametrize("size", [(16, 48), (32, 32), (48, 16)])
def test_large_images_are_averaged_as_small_ones_are(size, monkeypatch):
    images = tf.constant(np.random.default_rng(0).normal(size=(2, 50, 70, 3)), tf.float32)
    expected = at_size(images, size)
    monkeypatch.setattr(crops, "_PIXELS_TOGETHER", 50 * 70 - 1)
    np.testing.assert_allclose(at_size(images, size), expected, atol=1e-6)
