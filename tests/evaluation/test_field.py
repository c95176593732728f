"""What users run into with figures: each kind of fault by its name."""

import numpy as np

from agad_tf.evaluation.metrics import detection_metrics


def test_figures_false_positives_at_95_percent_are_right_with_tied_scores():
    # At and above 1: 19 of 20 anomalies and 1 of 4 normal images; the point lies on a line between its neighbours.
    abnormal = np.repeat([3.0, 2.0, 1.0, 0.0], [18, 0, 1, 1])
    for normal in ([3, 2, 1, 0], [1, 1, 0, 0], [2, 1, 1, 0]):
        scores = np.concatenate([normal, abnormal])
        labels = np.repeat([0, 1], [len(normal), len(abnormal)])
        expected = min(np.mean(np.array(normal) >= t) for t in np.unique(scores) if np.mean(abnormal >= t) >= 0.95)
        assert detection_metrics(labels, scores)["fpr_at_95_tpr"] == expected
    rng = np.random.default_rng(0)
    for _ in range(50):
        normal, abnormal = rng.integers(0, 4, 20).astype(float), rng.integers(1, 5, 20).astype(float)
        expected = min(np.mean(normal >= t) for t in range(6) if np.mean(abnormal >= t) >= 0.95)
        figures = detection_metrics(np.repeat([0, 1], 20), np.concatenate([normal, abnormal]))
        assert figures["fpr_at_95_tpr"] == expected
