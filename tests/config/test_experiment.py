import dataclasses
import subprocess
import sys

import pytest

from agad_tf.config import experiment as config
from agad_tf.config.contradictions import CONTRADICTIONS
from agad_tf.config.errors import UsageError
from agad_tf.config.experiment import ExperimentConfig

PEAK = {"score": "peak", "contextual_adversarial": False}
# For each row of CONTRADICTIONS, in its order: flags that it refuses, and a word of its sentence.
CONTRADICTING = [
    ({"normal_class": 10}, "10 classes"),
    ({"anomaly_classes": (10,), "gamma": 0.1}, "10 classes"),
    ({"dataset": "folder"}, "--data_dir"),
    ({"anomaly_classes": (0, 1), "gamma": 0.1}, "holds the normal class"),
    ({"anomaly_classes": (1,)}, "asks for none"),
    ({"synthetic_anomalies": ("blur",)}, "choose from rotation"),
    ({"synthetic_anomalies": ("warp", "warp")}, "names a kind twice"),
    ({"synthetic_anomalies": ("warp",), "method": "ganomaly"}, "does not learn from"),
    ({"synthetic_share": 0.5}, "needs --synthetic_anomalies"),
    ({"score": "mahalanobis", "method": "ganomaly"}, "a score of its own"),
    ({"local_anomalies": 0.8, "method": "ganomaly"}, "does not learn from --local_anomalies"),
    ({"local_anomalies": 0.8, "synthetic_anomalies": ("warp",)}, "learns to restore"),
    ({"segmentation": True}, "learns from local anomalies"),
    ({"score": "peak"}, "needs them intact"),
    ({"local_anomalies": 0.8}, "go with --score=peak"),
    ({"crop_size": 40, **PEAK}, "a multiple of 16"),
    ({"crop_size": 32, "scales": (1, 1), **PEAK}, "different whole numbers"),
    ({"scales": (1, 2), **PEAK}, "needs --crop_size"),
    ({"protocols": ("family",)}, "give per_image"),
    ({"gamma": 0.1, "batch_size": 1}, "has no room"),
    ({"gamma": 0.1, "batch_size": 32, "min_anomalies": 32}, "leaves no room"),
    ({"threshold": "f1"}, "needs labelled anomalies"),
    ({"anomaly_normalization": "separate"}, "has none"),
    ({"anomaly_normalization": "frozen", "gamma": 0.1, "normalization": "group"}, "does not use"),
    ({"anomaly_distance": "reconstruction", "contextual_adversarial": False}, "drop one"),
    ({"pseudo_anomaly_normalization": "auxiliary", "normalization": "group"}, "--normalization=batch"),
    ({"lambda_adcon": 2.0, "contextual_adversarial": False}, "has no effect"),
    ({"anomaly_distance": "reconstruction"}, "needs anomalies"),
    ({"method": "skip_ganomaly", "pseudo_anomaly_normalization": "auxiliary"}, "is for pseudo-anomalies"),
    ({"method": "pca", "export_format": "onnx"}, "can be exported"),
    ({"method": "ganomaly", "gamma": 0.1}, "normal images only"),
    ({"method": "skip_ganomaly", "lambda_lat": 2.0}, "fixed weights"),
    ({"method": "ganomaly", "generator": "unet"}, "compares codes"),
    ({"method": "knn", "mode": "export", "workdir": "a"}, "makes no detector"),
    ({"normalization": "instance", "image_size": 16, "generator": "unet"}, "to a single one"),
    ({"dataset": "digits", "data_dir": "/data"}, "scikit-learn"),
    ({"devices": ("TPU:0",)}, "write devices as"),
    ({"devices": ("CPU:1", "CPU:1")}, "names a device twice"),
    ({"devices": ("CPU:0", "GPU:0")}, "name one kind"),
    ({"devices": ("CPU:0", "CPU:1"), "strategy": "none"}, "trains on one device"),
    ({"devices": ("CPU:0",), "strategy": "multi_worker"}, "leave --devices out"),
    ({"synchronized_batch_norm": True, "jit_compile": "true"}, "cannot compile"),
    ({"synchronized_batch_norm": True, "normalization": "group"}, "concerns batch statistics"),
    ({"mode": "evaluate"}, "name its folder"),
]


def test_other_settings_have_another_default_folder():
    variants = ({}, {"gamma": 0.1}, {"seed": 1}, {"normal_class": 2}, {"width": 0.5}, {"lambda_con": 1.0})
    assert len({ExperimentConfig(**each).folder for each in variants}) == len(variants)
    elsewhere = ExperimentConfig(data_dir="/elsewhere", strategy="mirrored", devices=("GPU:0",), steps_per_execution=9)
    assert elsewhere.folder == ExperimentConfig().folder
    assert dataclasses.replace(ExperimentConfig(), seed=1).folder == ExperimentConfig(seed=1).folder


def test_the_weight_of_anomalies_is_one_without_pseudo_anomalies_too():
    options = {"lambda_adcon": 2.0, "contextual_adversarial": False}
    assert ExperimentConfig(**options, gamma=0.1).lambda_adcon == 2.0
    assert ExperimentConfig(**options, synthetic_anomalies=("warp",)).lambda_adcon == 2.0


@pytest.mark.parametrize(("options", "complaint"), CONTRADICTING, ids=[text for _, text in CONTRADICTING])
def test_contradicting_flags_are_refused(options, complaint):
    with pytest.raises(UsageError, match=complaint) as caught:
        ExperimentConfig(**options)
    assert "{" not in str(caught.value), "a placeholder was left unfilled"


@pytest.mark.parametrize("row", range(len(CONTRADICTIONS)))
def test_no_row_of_the_table_could_be_left_out(monkeypatch, row):
    """Without its row the flags are taken, or refused for another reason."""
    options, complaint = CONTRADICTING[row]
    monkeypatch.setattr(config, "CONTRADICTIONS", [*CONTRADICTIONS[:row], *CONTRADICTIONS[row + 1 :]])
    try:
        ExperimentConfig(**options)
    except UsageError as error:
        assert complaint not in str(error)


def test_every_contradiction_of_the_table_is_tested():
    assert len(CONTRADICTING) == len(CONTRADICTIONS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gamma", 1.0),
        ("gamma", -0.1),
        ("gamma", float("nan")),
        ("epochs", 0),
        ("batch_size", 0),
        ("width", 0.0),
        ("width", float("inf")),
        ("learning_rate", 0.0),
        ("lambda_con", -1.0),
        ("validation_fraction", 0.0),
        ("validation_fraction", 1.0),
        ("seed", -1),
        ("generator", "vgg"),
        ("normal_class", -1),
    ],
)
def test_values_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(UsageError, match=f"--{name} is "):
        ExperimentConfig(**{name: value})


def test_configuration_needs_no_tensorflow():
    code = "import sys, agad_tf, agad_tf.config, agad_tf.main; print({'tensorflow', 'keras'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "text", ["", "f2", "fpr", "fpr=", "fpr=1", "fpr=nan", "quantile=-0.1", "inf", "nan", "=0.5", "auto=1"]
)
def test_a_threshold_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="--threshold"):
        ExperimentConfig(threshold=text)


@pytest.mark.parametrize("value", [0, -16, 40, "40", "32x40", "x32", "32x", "big", ""])
def test_an_image_size_that_is_none_is_refused(value):
    with pytest.raises(UsageError, match=r"--image_size is .* multiples of 16"):
        ExperimentConfig(image_size=value)


@pytest.mark.parametrize("value", [16, "64", "384x512", "native"])
def test_image_sizes_of_every_form_are_taken(value):
    assert ExperimentConfig(image_size=value).image_size == value


@pytest.mark.parametrize("text", ["auto", "fpr=0", "quantile=.99", "3.5", "-1"])
def test_thresholds_of_every_form_are_taken(text):
    assert ExperimentConfig(threshold=text).threshold == text
