"""Anomaly scores: functions of images and their reconstructions; higher is more abnormal."""

from typing import Any

from keras import ops


def reconstruction_norm(images: Any, reconstruction: Any) -> Any:
    """A(x) = ‖x − G(x)‖₂, the paper's anomaly score.

    Args:
        images: x, float (batch, height, width, channels) in [-1, 1].
        reconstruction: G(x), same shape and range.

    Returns:
        float (batch,), in [0, 2·√(height·width·channels)].
    """
    return ops.sqrt(ops.sum(ops.square(images - reconstruction), axis=(1, 2, 3)))
