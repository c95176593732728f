"""Anomaly scores: functions of images and their reconstructions; higher is more abnormal."""

from typing import Any

import numpy as np
from keras import ops
from sklearn.covariance import ShrunkCovariance

# Side in pixels of the neighbourhood that smoothed residuals are averaged over.
NEIGHBOURHOOD = 3
# Residuals are averaged over windows around the points of a square grid with this side.
GRID = 16
# Shrinkage of the covariance of normal residuals towards a multiple of the identity.
SHRINKAGE = 0.95
# Least variance of residuals, for directions without any; images are in [-1, 1].
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
    """The paper's norm, of residuals that are averaged over the neighbourhood of each pixel.

    Residuals with the same sign in many pixels add up, and noise in single pixels cancels out.

    Args:
        images: x, float (batch, height, width, channels) in [-1, 1].
        reconstruction: G(x), same shape and range.

    Returns:
        float (batch,), in [0, 2·√(height·width·channels)].
    """
    smoothed = ops.average_pool(images - reconstruction, NEIGHBOURHOOD, strides=1, padding="same")
    return ops.sqrt(ops.sum(ops.square(smoothed), axis=(1, 2, 3)))


def residual_features(images: Any, reconstruction: Any) -> Any:
    """Means of the residuals over overlapping windows.

    Args:
        images: x, float (batch, side, side, channels) in [-1, 1], the side a multiple of `GRID`.
        reconstruction: G(x), same shape and range.

    Returns:
        float (batch, `GRID`²·channels): means of x − G(x) over windows whose width is twice their distance.
    """
    spacing = images.shape[1] // GRID
    means = ops.average_pool(images - reconstruction, 2 * spacing, strides=spacing, padding="same")
    return ops.reshape(means, (-1, GRID**2 * images.shape[-1]))


def mahalanobis_norm(features: Any, mean: Any, whitening: Any) -> Any:
    """The Mahalanobis distance of residuals from those of normal images.

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
    """The geometric mean of the smoothed norm and the Mahalanobis norm: how large and how unusual residuals are.

    The scales of the factors differ between models, but do not matter in a geometric mean.

    Args:
        images: x, float (batch, side, side, channels) in [-1, 1], the side a multiple of `GRID`.
        reconstruction: G(x), same shape and range.
        mean: μ of normal images' features, float (n,).
        whitening: W, as in `mahalanobis_norm`, float (n, n).

    Returns:
        float (batch,), not negative.
    """
    unusual = mahalanobis_norm(residual_features(images, reconstruction), mean, whitening)
    return ops.sqrt(smoothed_norm(images, reconstruction) * unusual)


def fit_mahalanobis(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and whitening of normal images' residuals.

    The covariance is shrunk by `SHRINKAGE`, because otherwise directions in which normal images hardly vary would
    dominate the norm.

    Args:
        features: float (images, n), from `residual_features`, finite.

    Returns:
        μ, float32 (n,), and W, float32 (n, n), for `mahalanobis_norm`.
    """
    shrunk = ShrunkCovariance(shrinkage=SHRINKAGE, store_precision=False).fit(features)
    return shrunk.location_.astype(np.float32), whitening_of(shrunk.covariance_)


def whitening_of(covariance: np.ndarray) -> np.ndarray:
    """The symmetric W with W² = Σ⁻¹, for `mahalanobis_norm`.

    The symmetric root is unique, even if several directions have the same variance.

    Args:
        covariance: Σ, float (n, n), symmetric.

    Returns:
        float32 (n, n).
    """
    variances, directions = np.linalg.eigh(covariance)
    return (directions / np.sqrt(np.maximum(variances, _LEAST_VARIANCE)) @ directions.T).astype(np.float32)
