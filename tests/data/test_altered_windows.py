"""Local anomalies in windows of whole images."""

import numpy as np
import pytest

from agad_tf.data.altered_windows import alter_windows

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, (12, 64, 96, 1)).astype(np.float32)


def altered(sizes, seed=0):
    return alter_windows(IMAGES, (16, 16), sizes, np.random.default_rng(seed))


@pytest.mark.parametrize(("sizes", "side"), [([(64, 96)], 16), ([(32, 48)], 32), ([(64, 96), (32, 48)], 32)])
def test_each_image_is_altered_within_one_window(sizes, side):
    spans = []
    for image, result in zip(IMAGES, altered(sizes), strict=True):
        rows, columns = np.nonzero((image != result).any(axis=-1))
        spans.append(max(np.ptp(rows), np.ptp(columns)) + 1 if len(rows) else 0)
    assert 8 < max(spans) <= side
    assert np.mean(np.array(spans) > 0) > 0.8
    assert side == 16 or max(spans) > 16


def test_a_window_may_be_the_whole_image():
    assert alter_windows(IMAGES[:, :16, :16], (16, 16), [(16, 16)], np.random.default_rng(0)).shape == (12, 16, 16, 1)


def test_the_random_generator_decides():
    sizes = [(64, 96), (32, 48)]
    np.testing.assert_array_equal(altered(sizes), altered(sizes))
    assert (altered(sizes) != altered(sizes, seed=1)).any()
    assert np.abs(altered(sizes)).max() <= 1
