"""The threshold that a detector flags images by. It is chosen on validation images, never on the test set."""

import numpy as np

from agad_tf.evaluation.metrics import detection_metrics

NORMAL_QUANTILE = 0.99


def detector_threshold(labels: np.ndarray, scores: np.ndarray) -> tuple[float, str]:
    """Chooses the score at or above which an image is flagged.

    Args:
        labels: int (images,) of the validation images: 0 normal, 1 abnormal.
        scores: float (images,), higher is more abnormal.

    Returns:
        The threshold, and how it was chosen: the best F1 where there are anomalies, else the quantile that lets
        one normal image in a hundred be flagged.
    """
    if labels.any():
        return detection_metrics(labels, scores)["threshold"], "best F1 on validation images"
    return float(np.quantile(scores, NORMAL_QUANTILE)), f"{NORMAL_QUANTILE} quantile of validation normals"
