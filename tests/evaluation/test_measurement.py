import json

import numpy as np
import pytest

from agad_tf.data.sources import Source
from agad_tf.data.splits import one_class_task
from agad_tf.evaluation.measurement import measure_baseline
from agad_tf.evaluation.results import results_of


@pytest.fixture
def source():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 16, 16, 1), np.uint8)
    classes = np.arange(60) % 3
    return Source("digits", images, classes, images, classes, "nowhere")


def measure(source, anomaly_classes):
    task = one_class_task(source, 0, 0.2, anomaly_classes)
    # Class 1 is told apart perfectly, class 2 not at all.
    classes = source.y_test[task.test.ids]
    scores = np.where(classes == 1, 2.0, task.test.ids // 3 % 2 * 1.0)
    validation_scores = np.linspace(0, 1, len(task.validation.images))
    options = {"threshold": "auto", "anomaly_classes": anomaly_classes, "seed": 0}
    return measure_baseline(source, task, validation_scores, scores, **options)


def test_labelled_classes_and_others_are_measured_apart(source):
    figures = measure(source, (1,)).protocols["per_image"]
    assert figures["auroc_seen"] == 1.0
    assert figures["auroc_unseen"] == pytest.approx(0.5)
    assert figures["auroc"] == pytest.approx(0.75)


def test_where_all_classes_were_labelled_none_is_apart(source):
    assert "auroc_seen" not in measure(source, ()).protocols["per_image"]
    both = measure(source, (1, 2)).protocols["per_image"]
    assert both["auroc_seen"] == both["auroc"]
    assert "auroc_unseen" not in both


def test_a_baseline_has_figures_per_image_alone(source):
    measured = measure(source, ())
    assert set(measured.protocols) == {"per_image"}
    results = results_of({"method": "knn"}, source, measured, 1.0)
    assert not results["protocols"]["per_image"]["labels_leak"]
    assert len(measured.test_scores) == 60
    json.dumps(results)
