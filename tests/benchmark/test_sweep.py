import dataclasses
import math

import pytest

from agad_tf.benchmark.sweep import DEFAULT_FOLDER, build_sweep
from agad_tf.config.errors import UsageError
from agad_tf.config.experiment import ExperimentConfig

BASE = {**dataclasses.asdict(ExperimentConfig()), "mode": "benchmark"}


def test_every_combination_is_an_experiment_and_classes_come_before_the_next_seed():
    sweep = build_sweep("b", BASE, {"seed": [0, 1], "gamma": [0.0, 0.05], "normal_class": [2, 3]})
    found = [(each.seed, each.gamma, each.normal_class) for each in sweep.experiments]
    assert found == [(seed, gamma, c) for seed in (0, 1) for gamma in (0.0, 0.05) for c in (2, 3)]
    assert {each.mode for each in sweep.experiments} == {"train"}
    assert sweep.budget == math.inf


def test_each_experiment_has_a_folder_of_its_own_below_the_benchmark():
    sweep = build_sweep("", BASE, {"width": [1.0, 0.5], "normal_class": ["all"]})
    folders = {each.folder for each in sweep.experiments}
    assert len(folders) == 20
    assert all(str(folder).startswith(f"{DEFAULT_FOLDER}/runs/") for folder in folders)


def test_all_is_as_many_classes_as_the_data_set_has():
    sweep = build_sweep("b", BASE, {"dataset": ["cifar10", "cifar100"], "normal_class": ["all"]})
    assert [sum(each.dataset == name for each in sweep.experiments) for name in ("cifar10", "cifar100")] == [10, 20]


def test_each_labels_one_class_after_the_other_but_the_normal_one():
    sweep = build_sweep("b", {**BASE, "gamma": 0.05}, {"anomaly_classes": ["each"], "normal_class": [4]})
    assert [each.anomaly_classes for each in sweep.experiments] == [(c,) for c in range(10) if c != 4]


def test_what_contradicts_itself_is_left_out_and_said():
    sweep = build_sweep("b", BASE, {"gamma": [0.0, 0.05], "anomaly_normalization": ["joint", "frozen"]})
    assert len(sweep.experiments) == 3
    assert len(sweep.left_out) == 1
    assert "anomaly_normalization=frozen" in sweep.left_out[0]


@pytest.mark.parametrize(
    ("axes", "budget", "sentence"),
    [
        ({"workdir": ["a"]}, "", "is not a setting"),
        ({"colour": ["a"]}, "", "is not a setting"),
        ({"width": [-1.0]}, "", "No combination .* --width is -1.0"),
        ({"gamma": [0.0, 5.0]}, "", "Nothing can be run with --gamma=5.0: --gamma is 5.0"),
        ({"normal_class": [0, 12]}, "", "with --normal_class=12: .* 10 classes"),
        ({"method": ["agad", "knn"], "epochs": [1, 0]}, "", "with --epochs=0: --epochs is 0"),
        ({"method": ["knn"], "generator": ["unet", "encoder_decoder"]}, "", "=encoder_decoder: no method .* reads it"),
        ({}, "2 weeks", "--budget is '2 weeks'"),
        ({}, "0m", "--budget is '0m'; give a number above 0"),
    ],
)
def test_what_cannot_be_run_is_refused(axes, budget, sentence):
    with pytest.raises(UsageError, match=sentence):
        build_sweep("b", BASE, axes, budget)


def test_what_a_baseline_does_not_read_is_not_varied():
    axes = {"method": ["agad", "knn"], "generator": ["unet", "encoder_decoder"], "normal_class": [1, 2]}
    found = [(each.method, each.generator, each.normal_class) for each in build_sweep("b", BASE, axes).experiments]
    agad = [("agad", generator, c) for generator in ("unet", "encoder_decoder") for c in (1, 2)]
    assert found == [*agad, ("knn", "unet", 1), ("knn", "unet", 2)]


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("1.5h", 5400), ("30s", 30)])
def test_budget_has_a_unit(text, seconds):
    assert build_sweep("b", BASE, {}, text).budget == seconds
