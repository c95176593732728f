"""Defaults that adapt to what is given, and flagfiles as editors leave them."""

import dataclasses

import pytest
from absl import flags

from agad_tf.benchmark.sweep_flags import sweep_from_flags
from agad_tf.config.errors import UsageError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.flagfiles import with_flagfiles
from agad_tf.config.flags import config_from_flags, define_flags, read_config, to_flagfile


def parse(*arguments):
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    flag_values(with_flagfiles(["agad_tf", *arguments]))
    return config_from_flags(flag_values)


@pytest.mark.parametrize(("batch_size", "least"), [(2, 1), (16, 2), (63, 7), (64, 32), (256, 32)])
def test_a_default_least_number_of_anomalies_fits_any_batch(batch_size, least):
    assert ExperimentConfig(gamma=0.1, batch_size=batch_size).min_anomalies == least
    assert parse("--gamma=0.1", f"--batch_size={batch_size}").min_anomalies == least


def test_anomalies_are_added_to_a_flagfile_of_small_batches():
    assert parse("--flagfile=flags/digits.cfg", "--gamma=0.05").min_anomalies == 2


def test_a_recipes_own_least_number_of_anomalies_fits_a_smaller_batch():
    config = parse("--recipe=own_images", "--gamma=0.1", "--batch_size=2")
    assert config.min_anomalies == 1


@pytest.mark.parametrize("arguments", [["--min_anomalies=32", "--batch_size=32"], ["--batch_size=1"]])
def test_a_batch_without_room_is_refused(arguments):
    with pytest.raises(UsageError, match="room"):
        parse("--gamma=0.1", *arguments)


def test_without_anomalies_the_default_stays_as_it_is():
    assert ExperimentConfig(batch_size=16).min_anomalies == 32


def test_a_run_with_an_adapted_number_reads_back_as_itself(tmp_path):
    config = ExperimentConfig(gamma=0.1, batch_size=16, workdir=str(tmp_path))
    (tmp_path / "config.cfg").write_text(to_flagfile(config))
    assert read_config(tmp_path) == config
    assert dataclasses.replace(config, epochs=3).min_anomalies == 2


def test_the_configuration_of_a_run_is_read_after_an_editor_has_added_a_mark(tmp_path):
    config = ExperimentConfig(workdir=str(tmp_path))
    (tmp_path / "config.cfg").write_text(to_flagfile(config), encoding="utf-8-sig", newline="\r\n")
    assert read_config(tmp_path) == config


def test_skip_ganomaly_has_its_published_network_unless_another_is_given():
    assert parse("--method=skip_ganomaly").generator == "unet"
    assert parse("--method=skip_ganomaly", "--generator=encoder_decoder").generator == "encoder_decoder"
    assert parse("--method=ganomaly").generator == parse().generator == "encoder_decoder"


def test_a_sweep_over_methods_gives_each_its_own_network():
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    flag_values(["agad_tf", "--mode=benchmark", "--sweep=method=ganomaly,skip_ganomaly,agad"])
    found = {each.method: each.generator for each in sweep_from_flags(flag_values).experiments}
    assert found == {"ganomaly": "encoder_decoder", "skip_ganomaly": "unet", "agad": "encoder_decoder"}


def test_an_output_that_is_a_file_is_refused_before_any_work(tmp_path):
    (tmp_path / "scores").touch()
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    given = ("--mode=predict", f"--workdir={tmp_path}/run", "--input=photos", f"--output={tmp_path}/scores/new")
    flag_values(["agad_tf", *given])
    with pytest.raises(
        UsageError, match=f"--output={tmp_path}/scores/new cannot be a folder, because {tmp_path}/scores is"
    ):
        config_from_flags(flag_values)
