"""Anomaly scores: functions of images and their reconstructions; higher is more abnormal."""

from typing import Any

import numpy as np
from keras import ops
from sklearn.covariance import LedoitWolf

# Side in pixels of the neighbourhood that smoothed residuals are averaged over.
NEIGHBOURHOOD = 3
# Residuals are averaged over the regions of a grid of so many by so many.
GRID = 8
# A region whose residuals spread less, of the range [-1, 1], counts as spread so far: an eighth of a grey level.
_LEAST_SPREAD = 1e-3
# Directions that normal residuals hardly take count as if they took so much of the mean one.
_LEAST_VARIANCE = 1e-3


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
    """What is left of an image when its reconstruction is taken away, region by region.

    Args:
        images: x, float (batch, side, side, channels) in [-1, 1], the side a multiple of `GRID`.
        reconstruction: G(x), same shape and range.

    Returns:
        float (batch, 2·`GRID`²·channels): means of the residuals x − G(x) over regions, and of their absolute values.
    """
    residual, side = images - reconstruction, images.shape[1] // GRID
    means = [ops.average_pool(values, side, side) for values in (residual, ops.abs(residual))]
    return ops.concatenate([ops.reshape(mean, (-1, GRID**2 * images.shape[-1])) for mean in means], axis=1)


def mahalanobis_norm(features: Any, mean: Any, whitening: Any) -> Any:
    """How far residuals are from those of normal images, in their standard deviations: √((f − μ)ᵀ Σ⁻¹ (f − μ)).

    Args:
        features: f, float (batch, n), from `residual_features`.
        mean: μ of normal images' features, float (n,).
        whitening: a matrix W with W Wᵀ = Σ⁻¹, float (n, n).

    Returns:
        float (batch,), not negative.
    """
    return ops.sqrt(ops.sum(ops.square(ops.matmul(features - mean, whitening)), axis=1))


def fit_mahalanobis(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and whitening of normal images' residuals; the covariance is shrunk as Ledoit and Wolf found best.

    Args:
        features: float (images, n), from `residual_features`, finite.

    Returns:
        μ, float32 (n,), and W, float32 (n, n), for `mahalanobis_norm`.
    """
    mean, spread = features.mean(axis=0), np.maximum(features.std(axis=0), _LEAST_SPREAD)
    variances, directions = np.linalg.eigh(LedoitWolf().fit((features - mean) / spread).covariance_)
    variances = np.maximum(variances, _LEAST_VARIANCE * (variances.mean() or 1.0))
    whitening = directions / np.sqrt(variances) / spread[:, np.newaxis]
    return mean.astype(np.float32), whitening.astype(np.float32)
