import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from agad_tf.evaluation.localization import PixelMetrics, at_size, smoothed_error_maps

RNG = np.random.default_rng(0)


def metrics_of(pairs):
    metrics = PixelMetrics()
    for error_map, mask in pairs:
        metrics.add(error_map.astype(np.float32), mask)
    return metrics.result()


def mask_of(*boxes, shape=(40, 60)):
    mask = np.zeros(shape, bool)
    for top, left, height, width in boxes:
        mask[top : top + height, left : left + width] = True
    return mask


def test_pixel_auroc_is_that_of_all_pixels():
    masks = [mask_of((5, 5, 10, 10)), mask_of(shape=(20, 30)), mask_of((0, 0, 3, 30))]
    pairs = [(RNG.gamma(4, 3, mask.shape) + 4 * mask, mask) for mask in masks]
    expected = roc_auc_score(
        np.concatenate([mask.ravel() for _, mask in pairs]), np.concatenate([error.ravel() for error, _ in pairs])
    )
    assert metrics_of(pairs)["pixel_auroc"] == pytest.approx(expected, abs=1e-4)


def test_pro_counts_regions_alike_whatever_their_size():
    """Pixel AUROC hardly minds that a small region is missed; half of the regions are."""
    mask = mask_of((2, 2, 30, 40), (36, 56, 2, 2))
    found = metrics_of([(100.0 * mask_of((2, 2, 30, 40)), mask)])
    assert found["pixel_auroc"] > 0.99
    # Of the one region all is found at no false positive; of the other nothing before all pixels are flagged.
    assert found["pro"] == pytest.approx(0.5 + 0.5 * 0.3 / 2, abs=1e-6)


def test_a_perfect_map_has_perfect_figures_and_a_blind_one_none():
    mask = mask_of((5, 5, 10, 10))
    assert metrics_of([(200.0 * mask, mask)]) == pytest.approx({"pixel_auroc": 1.0, "pro": 1.0})
    noise = metrics_of([(RNG.random(mask.shape) * 255, mask) for _ in range(50)])
    assert noise["pixel_auroc"] == pytest.approx(0.5, abs=0.02)
    assert noise["pro"] == pytest.approx(0.15, abs=0.02)


def test_without_abnormal_pixels_there_is_nothing_to_say():
    assert metrics_of([(np.ones((4, 4)), np.zeros((4, 4), bool))]) == {}
    assert metrics_of([(np.ones((4, 4)), np.ones((4, 4), bool))]) == {}


def test_error_maps_show_where_images_differ_from_their_reconstructions():
    inputs = np.zeros((2, 64, 64, 3), np.float32)
    reconstruction = inputs.copy()
    reconstruction[1, 40:44, 10:14] = 1.0
    maps = smoothed_error_maps(inputs, reconstruction).numpy()
    assert maps.shape == (2, 64, 64)
    assert maps[0].max() == 0
    assert np.abs(np.array(np.unravel_index(maps[1].argmax(), (64, 64))) - [41.5, 11.5]).max() <= 1
    assert maps[1].sum() == pytest.approx(16 * 127.5, rel=1e-4)
    large = at_size(maps[1], 128, 192)
    assert large.shape == (128, 192)
    assert np.abs(np.array(np.unravel_index(large.argmax(), large.shape)) - [83, 34.5]).max() <= 3


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(8, 8), (16, 16), (64, 64), (256, 256), (48, 80), (80, 48), (128, 3)])
def test_maps_are_smoothed_as_scipy_does_it(shape, channels):
    inputs, reconstruction = RNG.uniform(-1, 1, (2, 2, *shape, channels)).astype(np.float32)
    errors = np.abs(inputs - reconstruction).mean(axis=-1) * 127.5
    expected = ndimage.gaussian_filter(errors, (0, shape[0] / 64, shape[0] / 64), mode="reflect", truncate=4)
    found = smoothed_error_maps(inputs, reconstruction)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_a_graph_for_batches_of_any_size_makes_the_same_maps():
    inputs, reconstruction = RNG.uniform(-1, 1, (2, 3, 32, 32, 3)).astype(np.float32)
    spec = tf.TensorSpec((None, 32, 32, 3), tf.float32)
    in_graph = tf.function(smoothed_error_maps, input_signature=[spec, spec])
    np.testing.assert_allclose(
        in_graph(inputs, reconstruction), smoothed_error_maps(inputs, reconstruction), rtol=0, atol=1e-4
    )
    assert in_graph(inputs[:0], reconstruction[:0]).shape == (0, 32, 32)
