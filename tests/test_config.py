import dataclasses
import subprocess
import sys

import pytest
from absl import flags

from agad_tf.config import (
    CONTRADICTIONS,
    ExperimentConfig,
    UsageError,
    config_from_flags,
    define_flags,
    read_config,
    require_same_settings,
)

# For each row of CONTRADICTIONS, in its order: flags that it refuses, and a word of its sentence.
CONTRADICTING = [
    ({"normal_class": 10}, "10 classes"),
    ({"anomaly_classes": (10,), "gamma": 0.1}, "10 classes"),
    ({"anomaly_classes": (0, 1), "gamma": 0.1}, "holds the normal class"),
    ({"anomaly_classes": (1,)}, "asks for none"),
    ({"image_size": 40}, "multiple of 16"),
    ({"gamma": 0.1, "batch_size": 32}, "leaves no room"),
    ({"anomaly_normalization": "separate"}, "has none"),
    ({"anomaly_normalization": "frozen", "gamma": 0.1, "normalization": "group"}, "does not use"),
    ({"anomaly_distance": "reconstruction", "contextual_adversarial": False}, "drop one"),
    ({"normalization": "instance", "image_size": 16, "generator": "unet"}, "single pixel"),
    ({"dataset": "digits", "data_dir": "/data"}, "scikit-learn"),
    ({"devices": ("TPU:0",)}, "write devices as"),
    ({"devices": ("CPU:1", "CPU:1")}, "names a device twice"),
    ({"devices": ("CPU:0", "CPU:1"), "strategy": "none"}, "trains on one device"),
    ({"devices": ("CPU:0",), "strategy": "multi_worker"}, "leave --devices out"),
    ({"mode": "evaluate"}, "name its folder"),
]


def parse(*arguments):
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    flag_values(["agad_tf", *arguments])
    return config_from_flags(flag_values)


def test_every_field_is_a_flag_with_the_same_default():
    assert parse() == ExperimentConfig()


def test_flags_reach_their_fields():
    config = parse("--gamma=0.05", "--anomaly_classes=1,4", "--nocontextual_adversarial", "--epochs=3", "--seed=9")
    assert (config.gamma, config.anomaly_classes, config.contextual_adversarial) == (0.05, (1, 4), False)
    assert (config.epochs, config.seed) == (3, 9)


def test_written_configuration_reads_back_as_itself(tmp_path):
    config = ExperimentConfig(
        workdir=str(tmp_path),
        gamma=0.1,
        anomaly_classes=(3, 5),
        contextual_adversarial=False,
        learning_rate=1 / 3,
        beta_2=0.99,
        data_dir="/some where/data",
        devices=("GPU:0", "GPU:1"),
        mixed_precision="bfloat16",
    )
    (tmp_path / "config.cfg").write_text(config.to_flagfile())
    assert read_config(tmp_path) == config
    assert parse(f"--flagfile={tmp_path}/config.cfg") == config


def test_other_settings_have_another_default_folder():
    variants = ({}, {"gamma": 0.1}, {"seed": 1}, {"normal_class": 2}, {"width": 0.5}, {"lambda_con": 1.0})
    assert len({ExperimentConfig(**each).folder for each in variants}) == len(variants)
    elsewhere = ExperimentConfig(data_dir="/elsewhere", strategy="mirrored", devices=("GPU:0",), steps_per_execution=9)
    assert elsewhere.folder == ExperimentConfig().folder
    assert dataclasses.replace(ExperimentConfig(), seed=1).folder == ExperimentConfig(seed=1).folder


@pytest.mark.parametrize(("options", "complaint"), CONTRADICTING, ids=[text for _, text in CONTRADICTING])
def test_contradicting_flags_are_refused(options, complaint):
    with pytest.raises(UsageError, match=complaint) as caught:
        ExperimentConfig(**options)
    assert "{" not in str(caught.value), "a placeholder was left unfilled"


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


def test_flags_on_an_existing_run_may_say_where_but_not_what(tmp_path):
    stored = ExperimentConfig(workdir="elsewhere", gamma=0.1)
    (tmp_path / "config.cfg").write_text(stored.to_flagfile())
    config = parse("--mode=evaluate", f"--workdir={tmp_path}", "--data_dir=/data")
    assert (config.gamma, config.data_dir, config.workdir) == (0.1, "/data", str(tmp_path))
    with pytest.raises(UsageError, match=r"--gamma=0\.1, which the flags contradict"):
        parse("--mode=evaluate", f"--workdir={tmp_path}", "--gamma=0.2")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="There is no run in"):
        parse("--mode=export", f"--workdir={tmp_path}")


@pytest.mark.parametrize("text", [b"--gama=0.1\n", b"--gamma=x\n", b"\xff\xfe", b"", b"--gamma=0.1\n"])
def test_a_damaged_configuration_is_refused(tmp_path, text):
    (tmp_path / "config.cfg").write_bytes(text)
    with pytest.raises(UsageError, match="is damaged"):
        read_config(tmp_path)


def test_two_experiments_do_not_share_a_folder():
    first = ExperimentConfig(workdir="a")
    require_same_settings(first, dataclasses.replace(first, data_dir="/other", mode="train"))
    with pytest.raises(UsageError, match="--seed=0"):
        require_same_settings(first, dataclasses.replace(first, seed=1))


def test_configuration_needs_no_tensorflow():
    code = "import sys, agad_tf, agad_tf.config, agad_tf.main; print({'tensorflow', 'keras'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
