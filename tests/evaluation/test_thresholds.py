import numpy as np
import pytest

from agad_tf.evaluation.thresholds import detector_threshold


def test_without_anomalies_one_normal_image_in_a_hundred_is_flagged():
    scores = np.random.default_rng(0).normal(size=10_000)
    threshold, source = detector_threshold(np.zeros(10_000, int), scores)
    assert np.mean(scores >= threshold) == pytest.approx(0.01, abs=1e-4)
    assert "quantile" in source


def test_with_anomalies_the_threshold_separates_them():
    labels = np.repeat([0, 1], 50)
    threshold, source = detector_threshold(labels, labels * 10.0 + np.arange(100) / 100)
    assert 0.5 < threshold <= 10.5
    assert "F1" in source
