from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import agad_tf
from agad_tf.data.preprocessing import PIXELS_PER_UNIT, to_network_input, to_network_range, to_pixels, to_uint8

ALL_VALUES = np.arange(256, dtype=np.uint8)


def test_the_scale_of_pixels_stands_in_one_file():
    files = Path(agad_tf.__file__).parent.rglob("*.*")
    holders = [
        path.name for path in files if path.suffix in (".py", ".html") and str(PIXELS_PER_UNIT) in path.read_text()
    ]
    assert holders == ["preprocessing.py"]


@pytest.mark.parametrize("kind", [np.asarray, tf.constant])
def test_black_grey_and_white_are_scaled_there_and_back(kind):
    pixels = kind(np.array([0, 127.5, 255], np.float32))
    scaled = to_network_range(pixels)
    for result, values in ((scaled, [-1, 0, 1]), (to_pixels(scaled), [0, 127.5, 255])):
        assert isinstance(result, type(pixels))
        assert result.dtype == pixels.dtype
        np.testing.assert_array_equal(result, np.array(values, np.float32))


@pytest.mark.parametrize("kind", [np.asarray, tf.constant])
def test_every_pixel_value_comes_back_whole(kind):
    found = to_uint8(kind(to_network_range(ALL_VALUES.astype(np.float32))))
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, ALL_VALUES)


def test_whole_pixel_values_are_the_nearest_and_stay_in_their_range():
    np.testing.assert_array_equal(to_uint8(to_network_range(np.array([-9.0, 3.4, 3.6, 264.0]))), [0, 3, 4, 255])


def test_network_input_has_the_networks_side_and_range():
    images = np.full((2, 20, 30, 3), 255, np.uint8)
    inputs = to_network_input(images, 16)
    assert inputs.shape == (2, 16, 16, 3)
    assert inputs.dtype == tf.float32
    np.testing.assert_allclose(inputs, 1, atol=1e-5)
