import contextlib
import dataclasses

import pytest
from absl import flags

from agad_tf.benchmark.sweep_flags import sweep_from_flags
from agad_tf.config.contradictions import FLAGS_OF_MODE
from agad_tf.config.errors import UsageError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.flags import config_from_flags, define_flags, read_config, require_same_settings, to_flagfile


def flags_of(*arguments):
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    flag_values(["agad_tf", *arguments])
    return flag_values


def parse(*arguments):
    return config_from_flags(flags_of(*arguments))


def sweep(*arguments):
    return sweep_from_flags(flags_of("--mode=benchmark", *arguments))


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
    (tmp_path / "config.cfg").write_text(to_flagfile(config))
    assert read_config(tmp_path) == config
    assert parse(f"--flagfile={tmp_path}/config.cfg") == config


def test_flags_on_an_existing_run_may_say_where_but_not_what(tmp_path):
    stored = ExperimentConfig(workdir="elsewhere", gamma=0.1)
    (tmp_path / "config.cfg").write_text(to_flagfile(stored))
    config = parse("--mode=evaluate", f"--workdir={tmp_path}", "--data_dir=/data")
    assert (config.gamma, config.data_dir, config.workdir) == (0.1, "/data", str(tmp_path))
    with pytest.raises(UsageError, match=r"--gamma=0\.1, which differs from the flags"):
        parse("--mode=evaluate", f"--workdir={tmp_path}", "--gamma=0.2")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="There is no run in"):
        parse("--mode=export", f"--workdir={tmp_path}")


@pytest.mark.parametrize("text", [b"--gama=0.1\n", b"--gamma=x\n", b"\xff\xfe", b"", b"--gamma=0.1\n"])
def test_a_damaged_configuration_is_refused(tmp_path, text):
    (tmp_path / "config.cfg").write_bytes(text)
    with pytest.raises(UsageError, match="is damaged"):
        read_config(tmp_path)


@pytest.mark.parametrize("read", [parse, sweep])
@pytest.mark.parametrize("below", ["", "run"])
def test_a_file_is_no_folder_for_a_run(tmp_path, read, below):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file is a file"):
        read(f"--workdir={tmp_path / 'file' / below}")


def test_two_experiments_do_not_share_a_folder():
    first = ExperimentConfig(workdir="a")
    require_same_settings(first, dataclasses.replace(first, data_dir="/other", mode="train"))
    with pytest.raises(UsageError, match="--seed=0"):
        require_same_settings(first, dataclasses.replace(first, seed=1))


def test_an_audit_needs_a_model():
    with pytest.raises(UsageError, match="name it with --model"):
        parse("--mode=audit")
    assert parse("--mode=audit", "--model=a", "--normal_class=3").normal_class == 3


def test_a_benchmark_takes_several_values():
    found = sweep("--normal_class=all", "--gamma=0,.05", "--seeds=3", "--sweep=generator=unet,encoder_decoder")
    assert len(found.experiments) == 10 * 2 * 3 * 2
    assert {each.seed for each in found.experiments} == {0, 1, 2}
    assert {each.gamma for each in found.experiments} == {0, 0.05}
    assert {each.generator for each in found.experiments} == {"unet", "encoder_decoder"}


def test_a_sweep_reads_values_as_their_flags_do():
    found = sweep("--sweep=contextual_adversarial=true,false", "--sweep=width=0.5,1", "--seed=4,7", "--epochs=3")
    assert {each.contextual_adversarial for each in found.experiments} == {True, False}
    assert {each.width for each in found.experiments} == {0.5, 1.0}
    assert {each.seed for each in found.experiments} == {4, 7}
    assert {each.epochs for each in found.experiments} == {3}


def test_labelled_classes_of_a_sweep_are_one_at_a_time():
    assert len(sweep("--gamma=0.05", "--sweep=anomaly_classes=each").experiments) == 9
    found = sweep("--gamma=0.05", "--sweep=anomaly_classes=1,2").experiments
    assert [each.anomaly_classes for each in found] == [(1,), (2,)]
    assert sweep("--gamma=0.05", "--anomaly_classes=1,2").experiments[0].anomaly_classes == (1, 2)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--sweep=gamma=0,1", "give --gamma="),
        ("--sweep=generator", "not of the form"),
        ("--sweep=colour=red", "not of the form"),
        ("--sweep=width=wide", "--sweep=width=wide"),
        ("--sweep=generator=net", "--sweep=generator=net"),
        ("--sweep=contextual_adversarial=yes", "=yes: Non-boolean argument to boolean flag"),
        ("--sweep=width=1 --sweep=width=2", "--sweep=width=… is given twice"),
    ],
)
def test_wrong_sweeps_are_refused(argument, sentence):
    with pytest.raises(UsageError, match=sentence):
        sweep(*argument.split())


def test_seeds_count_from_one_seed():
    assert [each.seed for each in sweep("--seed=5", "--seeds=2").experiments] == [5, 6]
    with pytest.raises(UsageError, match="leave one of the two out"):
        sweep("--seed=5,6", "--seeds=2")


@pytest.mark.parametrize("argument", ["--normal_class=all", "--normal_class=1,2", "--gamma=0,.05", "--sweep=width=1,2"])
def test_several_values_are_for_benchmarks_alone(argument):
    with pytest.raises(UsageError, match=r"only --mode=benchmark takes|for --mode=benchmark"):
        parse(argument)


@pytest.mark.parametrize("name", FLAGS_OF_MODE)
def test_a_flag_of_another_mode_is_refused(name):
    modes = FLAGS_OF_MODE[name]
    said = f"--{name} is for --mode={' or --mode='.join(modes)};"
    values = {"seeds": "2", "save_maps": "true", "training_mode": "true", "sweep": "width=1,2", "input_range": "0..1"}
    value = values.get(name, "some")
    if "train" not in modes:
        with pytest.raises(UsageError, match=said):
            parse(f"--{name}={value}")
    if "audit" not in modes:
        with pytest.raises(UsageError, match=said):
            parse("--mode=audit", "--model=a", f"--{name}={value}")
    if "benchmark" not in modes:
        with pytest.raises(UsageError, match=said):
            sweep(f"--{name}={value}")


def test_a_budget_of_a_baseline_is_refused():
    assert parse("--budget=3m").epochs == 12
    with pytest.raises(UsageError, match="--method=knn cannot be ended early"):
        parse("--method=knn", "--budget=3m")


@pytest.mark.parametrize("mode", ["predict", "export", "demo"])
def test_a_threshold_that_is_not_the_detectors_is_refused_by_modes_that_apply_it(tmp_path, mode):
    (tmp_path / "config.cfg").write_text(to_flagfile(ExperimentConfig(threshold="fpr=0.01", workdir=str(tmp_path))))
    command = [f"--flagfile={tmp_path}/config.cfg", f"--mode={mode}", *(["--input=a"] if mode == "predict" else [])]
    assert parse(*command).threshold == "fpr=0.01"
    with pytest.raises(UsageError, match="part of the detector"):
        parse(*command, "--threshold=fpr=0.02")


@pytest.mark.parametrize(
    "line",
    [
        "$(touch ran)",
        "`touch ran`",
        "--workdir=$(touch ran)",
        "--workdir=;touch ran",
        "| touch ran",
        "import os",
        "!ls",
    ],
)
def test_a_flagfile_cannot_run_anything(tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some.cfg").write_text(f"--dataset=digits\n{line}\n")
    with contextlib.suppress(UsageError, flags.Error, ValueError):
        parse("--flagfile=some.cfg")
    assert [path.name for path in tmp_path.iterdir()] == ["some.cfg"]


def test_a_flagfile_that_includes_itself_ends(tmp_path):
    path = tmp_path / "some.cfg"
    path.write_text(f"--dataset=digits\n--flagfile={path}\n")
    assert parse(f"--flagfile={path}").dataset == "digits"


@pytest.mark.parametrize("name", ["gamma", "seed"])
def test_a_number_that_is_left_out_is_refused(name):
    with pytest.raises(flags.IllegalFlagValueError, match=f"--{name}="):
        parse(f"--{name}=")
