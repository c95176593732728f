import json

import numpy as np
import pytest

from agad_tf.config.experiment import ExperimentConfig
from agad_tf.data.sources import Source
from agad_tf.data.splits import one_class_task
from agad_tf.evaluation.measurement import measure_baseline
from agad_tf.files.workdir import Workdir


@pytest.fixture
def source():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 16, 16, 1), np.uint8)
    classes = np.arange(60) % 3
    return Source("digits", images, classes, images, classes, "nowhere")


def measure(source, tmp_path, anomaly_classes):
    config = ExperimentConfig(dataset="digits", gamma=0.2, anomaly_classes=anomaly_classes)
    task = one_class_task(source, 0, config.gamma, anomaly_classes)
    # Class 1 is told apart perfectly, class 2 not at all.
    classes = source.y_test[task.test.ids]
    scores = np.where(classes == 1, 2.0, task.test.ids // 3 % 2 * 1.0)
    validation_scores = np.linspace(0, 1, len(task.validation.images))
    return measure_baseline(config, Workdir(tmp_path), source, task, (validation_scores, scores), 1.0)


def test_labelled_classes_and_others_are_measured_apart(source, tmp_path):
    figures = measure(source, tmp_path, (1,))["protocols"]["per_image"]
    assert figures["auroc_seen"] == 1.0
    assert figures["auroc_unseen"] == pytest.approx(0.5)
    assert figures["auroc"] == pytest.approx(0.75)


def test_where_all_classes_were_labelled_none_is_apart(source, tmp_path):
    assert "auroc_seen" not in measure(source, tmp_path, ())["protocols"]["per_image"]
    both = measure(source, tmp_path, (1, 2))["protocols"]["per_image"]
    assert both["auroc_seen"] == both["auroc"]
    assert "auroc_unseen" not in both


def test_a_baseline_has_figures_per_image_alone(source, tmp_path):
    results = measure(source, tmp_path, ())
    assert set(results["protocols"]) == {"per_image"}
    assert not results["protocols"]["per_image"]["labels_leak"]
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 61
    json.dumps(results)
