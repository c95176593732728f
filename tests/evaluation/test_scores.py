import numpy as np
import pytest
from scipy.ndimage import convolve

from agad_tf.evaluation.scores import (
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


@pytest.mark.parametrize(("side", "channels"), [(16, 1), (32, 3)])
def test_features_are_the_means_of_residuals_and_of_their_sizes_by_region(side, channels):
    images, reconstruction = np.random.default_rng(0).uniform(-1, 1, (2, 5, side, side, channels)).astype(np.float32)
    features = np.array(residual_features(images, reconstruction)).reshape(5, 2, 8, 8, channels)
    regions = (images - reconstruction).reshape(5, 8, side // 8, 8, side // 8, channels)
    np.testing.assert_allclose(features[:, 0], regions.mean(axis=(2, 4)), atol=1e-6)
    np.testing.assert_allclose(features[:, 1], np.abs(regions).mean(axis=(2, 4)), atol=1e-6)


def correlated(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 3)) @ [[2.0, 1.0, 0.0], [0.0, 0.5, 0.2], [0.0, 0.0, 0.1]] + 7


def test_the_norm_counts_in_standard_deviations_of_normal_images():
    mean, whitening = fit_mahalanobis(correlated(20_000))
    white = (correlated(20_000, seed=1) - mean) @ whitening
    np.testing.assert_allclose(np.cov(white.T), np.eye(3), atol=0.1)
    norms = mahalanobis_norm(correlated(4, seed=2).astype(np.float32), mean, whitening)
    inverse = np.linalg.inv(np.cov(correlated(20_000).T))
    expected = [np.sqrt(f @ inverse @ f) for f in correlated(4, seed=2) - 7]
    np.testing.assert_allclose(norms, expected, rtol=0.05)


@pytest.mark.parametrize(
    "features", [np.full((10, 4), 0.3), np.zeros((1, 4)), correlated(2), np.tile(correlated(50), (1, 2))]
)
def test_features_of_no_spread_give_finite_scores(features):
    mean, whitening = fit_mahalanobis(features)
    assert np.isfinite(mean).all()
    assert np.isfinite(np.array(mahalanobis_norm(features.astype(np.float32) + 1, mean, whitening))).all()
