import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from agad_tf.data.sources import Source
from agad_tf.data.splits import one_class_task
from agad_tf.evaluation import measurement
from agad_tf.evaluation.measurement import measure_baseline, measure_model
from agad_tf.evaluation.metrics import DETECTION_FIGURES
from agad_tf.evaluation.results import has_test_anomalies, results_of, threshold_uncertainty


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


@pytest.fixture
def normals_alone():
    """27 training and 8 test images of one class; two of them are for validation."""
    images = np.random.default_rng(0).integers(0, 256, (35, 16, 16, 1), np.uint8)
    source = Source("folder", images[:27], np.zeros(27, int), images[27:], np.zeros(8, int), "nowhere")
    return source, one_class_task(source, 0)


def test_without_test_anomalies_normal_images_are_measured_and_nothing_else(normals_alone):
    source, task = normals_alone
    validation_scores = np.linspace(0, 1, len(task.validation.images))
    options = {"threshold": "auto", "anomaly_classes": (), "seed": 0}
    measured = measure_baseline(source, task, validation_scores, np.arange(8) / 4, **options)
    figures = measured.protocols["per_image"]
    assert [figures[name] for name in DETECTION_FIGURES] == [None] * len(DETECTION_FIGURES)
    assert (figures["normal_images"], figures["normal_score_lowest"], figures["normal_score_highest"]) == (8, 0, 1.75)
    assert figures["normal_score_median"] == 0.875
    assert (measured.at_threshold["false_positives"], measured.at_threshold["false_positive_rate"]) == (4, 0.5)
    results = json.loads(json.dumps(results_of({"method": "knn"}, source, measured, 1.0)))
    assert not has_test_anomalies(results)
    detector = results["detector"]
    assert detector["threshold_normals"] == len(task.validation.images) == 3
    uncertainty = threshold_uncertainty(detector)
    assert "rests on 3 normal validation images; with so few, between 0.8 % and 90.6 % of normal" in uncertainty
    assert [warning for warning in results["warnings"] if uncertainty in warning]


def test_a_threshold_on_many_images_is_given_with_its_uncertainty_and_no_warning(normals_alone):
    source, task = normals_alone
    task = dataclasses.replace(task, validation=dataclasses.replace(task.validation, labels=np.zeros(50, int)))
    options = {"threshold": "auto", "anomaly_classes": (), "seed": 0}
    measured = measure_baseline(source, task, np.arange(50.0), np.arange(8.0), **options)
    results = results_of({"method": "knn"}, source, measured, 1.0)
    assert results["warnings"] == []
    assert "rests on 50 normal validation images: between" in threshold_uncertainty(results["detector"])


@pytest.mark.parametrize(("anomalies", "expected"), [(1, "only 1 is abnormal"), (9, "only 9 are abnormal"), (10, "")])
def test_a_threshold_on_few_anomalies_gets_a_warning(normals_alone, anomalies, expected):
    source, task = normals_alone
    labels = np.repeat([0, 1], [50, anomalies])
    task = dataclasses.replace(task, validation=dataclasses.replace(task.validation, labels=labels))
    options = {"threshold": "auto", "anomaly_classes": (), "seed": 0}
    measured = measure_baseline(source, task, np.arange(50.0 + anomalies), np.arange(8.0), **options)
    warnings = results_of({"method": "knn"}, source, measured, 1.0)["warnings"]
    assert len(warnings) == bool(expected)
    assert expected in "".join(warnings)


@pytest.mark.parametrize("kinds", [(), ("rotation", "erasure")])
def test_synthetic_anomalies_are_measured_by_where_training_made_some(normals_alone, build_model, kinds):
    source, task = normals_alone
    options = {"threshold": "auto", "anomaly_classes": (), "synthetic_anomalies": kinds, "seed": 0}
    measured = measure_model(build_model(), source, task, None, epochs=1, batch_size=4, **options)
    assert set(measured.protocols) == {"per_image"}
    figures = measured.protocols["per_image"]
    assert 0 <= figures["local_auroc_low"] <= figures["local_auroc"] <= figures["local_auroc_high"] <= 1
    assert ("synthetic_auroc" in figures) == bool(kinds)
    if kinds:
        assert 0 <= figures["synthetic_auroc_low"] <= figures["synthetic_auroc"] <= figures["synthetic_auroc_high"] <= 1


OPTIONS = {"threshold": "auto", "anomaly_classes": (), "synthetic_anomalies": (), "seed": 0}


def test_made_flaws_are_the_same_whatever_the_seed_of_the_run_and_score_as_they_look(
    normals_alone, build_model, monkeypatch
):
    source, task = normals_alone
    source.x_test[:] = task.test.images[:] = 128
    task.test.images[:, :8] = 100  # what is pasted can be seen
    model = build_model()
    # A score that says how much an image differs from what all are.
    expected = task.test.images[:1] / 127.5 - 1
    monkeypatch.setattr(model, "anomaly_score", lambda images: tf.reduce_max(abs(images - expected), axis=(1, 2, 3)))
    seen = [
        measure_model(model, source, task, None, epochs=1, batch_size=4, **{**OPTIONS, "seed": seed}) for seed in (0, 1)
    ]
    assert [each.protocols["per_image"]["local_auroc"] for each in seen] == [1, 1]


def test_nothing_is_said_of_made_flaws_where_none_can_be_seen(normals_alone, build_model, monkeypatch):
    source, task = normals_alone
    monkeypatch.setattr(measurement, "add_local_anomalies", lambda images, *_: (images, tf.zeros_like(images[..., :1])))
    measured = measure_model(build_model(), source, task, None, epochs=1, batch_size=4, **OPTIONS)
    assert "local_auroc" not in measured.protocols["per_image"]


def test_made_flaws_are_not_measured_beside_real_ones(source, build_model):
    task = one_class_task(source, 0)
    measured = measure_model(build_model(), source, task, None, epochs=1, batch_size=4, **OPTIONS)
    assert "local_auroc" not in measured.protocols["per_image"]
