import itertools

import numpy as np
import pytest
from scipy.ndimage import convolve

from agad_tf.models.scores import (
    combined_norm,
    fit_mahalanobis,
    mahalanobis_norm,
    reconstruction_norm,
    residual_features,
    smoothed_norm,
)


def test_score_is_the_euclidean_norm_of_the_error():
    images, reconstruction = np.random.default_rng(0).uniform(-1, 1, (2, 5, 8, 8, 3))
    expected = [np.linalg.norm((x - y).ravel()) for x, y in zip(images, reconstruction, strict=True)]
    np.testing.assert_allclose(reconstruction_norm(images, reconstruction), expected, rtol=1e-6)


def test_smoothed_residuals_are_means_over_the_pixels_around_that_there_are():
    images, reconstruction = np.random.default_rng(0).uniform(-1, 1, (2, 5, 8, 8, 3)).astype(np.float32)
    box = np.ones((1, 3, 3, 1))
    there = convolve(np.ones_like(images), box, mode="constant")
    smoothed = convolve(images - reconstruction, box, mode="constant") / there
    expected = np.linalg.norm(smoothed.reshape(5, -1), axis=1)
    np.testing.assert_allclose(smoothed_norm(images, reconstruction), expected, rtol=1e-5)


@pytest.mark.parametrize(("side", "channels"), [(16, 1), (32, 3), (48, 1)])
def test_features_are_means_of_residuals_over_windows_twice_as_wide_as_they_are_apart(side, channels):
    images, reconstruction = np.random.default_rng(0).uniform(-1, 1, (2, 5, side, side, channels)).astype(np.float32)
    features = np.array(residual_features(images, reconstruction)).reshape(5, 16, 16, channels)
    spacing, residuals = side // 16, images - reconstruction
    starts = [place * spacing - spacing // 2 for place in range(16)]
    for (row, top), (column, left) in itertools.product(enumerate(starts), enumerate(starts)):
        window = residuals[:, max(0, top) : top + 2 * spacing, max(0, left) : left + 2 * spacing]
        np.testing.assert_allclose(features[:, row, column], window.mean(axis=(1, 2)), atol=1e-6)


def correlated(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 3)) @ [[2.0, 1.0, 0.0], [0.0, 0.5, 0.2], [0.0, 0.0, 0.1]] + 7


def test_directions_usual_among_normal_images_count_less():
    normal, features = correlated(2_000), np.add(correlated(4, seed=2), [[0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 3]])
    norms = mahalanobis_norm(features.astype(np.float32), *fit_mahalanobis(normal))
    covariance = np.cov(normal.T, bias=True)
    inverse = np.linalg.inv(0.05 * covariance + 0.95 * np.trace(covariance) / 3 * np.eye(3))
    expected = [np.sqrt(f @ inverse @ f) for f in features - normal.mean(axis=0)]
    np.testing.assert_allclose(norms, expected, rtol=1e-4)


def test_the_combined_norm_is_the_geometric_mean_of_two():
    images, reconstruction = np.random.default_rng(0).uniform(-1, 1, (2, 5, 16, 16, 1)).astype(np.float32)
    mean, whitening = np.full(256, 0.1, np.float32), 2 * np.eye(256, dtype=np.float32)
    unusual = mahalanobis_norm(residual_features(images, reconstruction), mean, whitening)
    expected = np.sqrt(np.multiply(smoothed_norm(images, reconstruction), unusual))
    np.testing.assert_allclose(combined_norm(images, reconstruction, mean, whitening), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "features", [np.full((10, 4), 0.3), np.zeros((1, 4)), correlated(2), np.tile(correlated(50), (1, 2))]
)
def test_features_of_no_spread_give_finite_scores(features):
    mean, whitening = fit_mahalanobis(features)
    assert np.isfinite(mean).all()
    assert np.isfinite(np.array(mahalanobis_norm(features.astype(np.float32) + 1, mean, whitening))).all()
