"""Anomaly scores: functions of images and their reconstructions; higher is more abnormal."""

from typing import Any

import numpy as np
from keras import ops
from sklearn.covariance import ShrunkCovariance

# Side in pixels of the neighbourhood that smoothed residuals are averaged over.
NEIGHBOURHOOD = 3
# Residuals are averaged over windows around the points of a grid of so many by so many.
GRID = 16
# How far the covariance of normal residuals is shrunk towards a multiple of the identity.
SHRINKAGE = 0.95
# The least variance of residuals that counts, for where there is none; images range over [-1, 1].
_LEAST_VARIANCE = 1e-6


def reconstruction_norm(images: Any, reconstruction: Any) -> Any:
    """A(x) = ‖x − G(x)‖₂, the paper's anomaly score.

    Args:
        images: x, float (batch, height, width, channels) in [-1, 1].
        reconstruction: G(x), same shape and range.

    Returns:
        float (batch,), in [0, 2·√(height·width·channels)].
    """
    return ops.sqrt(ops.sum(ops.square(images - reconstruction), axis=(1, 2, 3)))


def smoothed_norm(images: Any, reconstruction: Any) -> Any:
    """The paper's norm of residuals that are averaged over the neighbourhood of each pixel.

    What differs in many pixels the same way counts, what flickers from pixel to pixel cancels out.

    Args:
        images: x, float (batch, height, width, channels) in [-1, 1].
        reconstruction: G(x), same shape and range.

    Returns:
        float (batch,), in [0, 2·√(height·width·channels)].
    """
    smoothed = ops.average_pool(images - reconstruction, NEIGHBOURHOOD, strides=1, padding="same")
    return ops.sqrt(ops.sum(ops.square(smoothed), axis=(1, 2, 3)))


def residual_features(images: Any, reconstruction: Any) -> Any:
    """What is left of an image when its reconstruction is taken away, by windows that overlap.

    Args:
        images: x, float (batch, side, side, channels) in [-1, 1], the side a multiple of `GRID`.
        reconstruction: G(x), same shape and range.

    Returns:
        float (batch, `GRID`²·channels): means of the residuals x − G(x) over windows twice as wide as they
            are apart.
    """
    spacing = images.shape[1] // GRID
    means = ops.average_pool(images - reconstruction, 2 * spacing, strides=spacing, padding="same")
    return ops.reshape(means, (-1, GRID**2 * images.shape[-1]))


def mahalanobis_norm(features: Any, mean: Any, whitening: Any) -> Any:
    """How far residuals are from the mean of normal images', directions usual among these counting less.

    √((f − μ)ᵀ Σ⁻¹ (f − μ)), Σ their covariance, shrunk.

    Args:
        features: f, float (batch, n), from `residual_features`.
        mean: μ of normal images' features, float (n,).
        whitening: W with W² = Σ⁻¹, float (n, n), symmetric.

    Returns:
        float (batch,), not negative.
    """
    return ops.sqrt(ops.sum(ops.square(ops.matmul(features - mean, whitening)), axis=1))


def combined_norm(images: Any, reconstruction: Any, mean: Any, whitening: Any) -> Any:
    """How large residuals are, and how unusual: the geometric mean of smoothed and Mahalanobis norm.

    The scales of the factors differ from model to model; in a geometric mean they do not matter.

    Args:
        images: x, float (batch, side, side, channels) in [-1, 1], the side a multiple of `GRID`.
        reconstruction: G(x), same shape and range.
        mean: μ of normal images' features, float (n,).
        whitening: as `mahalanobis_norm` takes it, float (n, n).

    Returns:
        float (batch,), not negative.
    """
    unusual = mahalanobis_norm(residual_features(images, reconstruction), mean, whitening)
    return ops.sqrt(smoothed_norm(images, reconstruction) * unusual)


def fit_mahalanobis(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and whitening of normal images' residuals.

    The covariance is shrunk by `SHRINKAGE`: directions in which normal images hardly vary would else rule the norm.

    Args:
        features: float (images, n), from `residual_features`, finite.

    Returns:
        μ, float32 (n,), and W, float32 (n, n), for `mahalanobis_norm`.
    """
    shrunk = ShrunkCovariance(shrinkage=SHRINKAGE, store_precision=False).fit(features)
    return shrunk.location_.astype(np.float32), whitening_of(shrunk.covariance_)


def whitening_of(covariance: np.ndarray) -> np.ndarray:
    """The symmetric W with W² = Σ⁻¹, for `mahalanobis_norm`.

    Of all roots it is the symmetric one, as it does not depend on which directions of the same variance were taken.

    Args:
        covariance: Σ, float (n, n), symmetric.

    Returns:
        float32 (n, n).
    """
    variances, directions = np.linalg.eigh(covariance)
    return (directions / np.sqrt(np.maximum(variances, _LEAST_VARIANCE)) @ directions.T).astype(np.float32)
