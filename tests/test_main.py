"""The command as a user meets it: exit codes and sentences."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest


def run(*arguments, cwd=None, **variables):
    # As at a user's: the tests' own log level would let TensorFlow's first lines through.
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-m", "agad_tf.main", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, env={**environment, **variables}
    )


def test_help_names_every_flag_and_is_no_failure():
    started = time.monotonic()
    done = run("--help")
    assert time.monotonic() - started < 1
    assert done.returncode == 0
    for flag in ("--dataset", "--gamma", "--workdir", "--[no]contextual_adversarial"):
        assert flag in done.stdout


def test_help_does_not_need_a_terminal_that_knows_greek():
    done = run("--help", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "--lambda_con" in done.stdout


def test_console_script_is_the_same_command():
    script = Path(sys.executable).with_name("agad-tf")
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert "--anomaly_normalization" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--gamma=abc"], "--gamma=abc"),
        (["--gamma=2"], "--gamma is 2.0"),
        (["--gama=0.1"], "gama"),
        (["--dataset=imagenet"], "fashion_mnist"),
        (["train"], "'train' is not a flag"),
        (["--flagfile=/nowhere.cfg"], "/nowhere.cfg"),
        (["--anomaly_classes=one", "--gamma=0.1"], "10 classes"),
        (["--mode=evaluate"], "--workdir"),
        (["--mode=export", "--workdir=/nowhere"], "no run in /nowhere"),
        (["--dataset=mnist", "--data_dir=/nowhere"], "/nowhere does not exist"),
    ],
)
def test_usage_errors_are_one_sentence_and_exit_code_2(tmp_path, arguments, complaint):
    if not any(argument.startswith(("--workdir", "--mode")) for argument in arguments):
        arguments = [*arguments, f"--workdir={tmp_path}"]
    done = run(*arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.startswith("agad_tf: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_failures_are_one_sentence_and_exit_code_1(tmp_path):
    (tmp_path / "mnist.npz").write_bytes(b"rubbish")
    done = run("--dataset=mnist", f"--data_dir={tmp_path}", f"--workdir={tmp_path}/run")
    assert done.returncode == 1
    assert "mnist.npz cannot be read" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    done = run("--dataset=digits", "--batch_size=32", f"--workdir={tmp_path / ('name' * 100)}")
    assert done.returncode == 1
    assert "File name too long" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_flags_the_command_says_how_to_begin_and_starts_nothing(tmp_path):
    started = time.monotonic()
    done = run(cwd=tmp_path)
    assert time.monotonic() - started < 1
    assert done.returncode == 2
    assert "python -m agad_tf.main --flagfile=digits.cfg" in done.stderr
    assert "--flagfile=folder.cfg --data_dir=" in done.stderr
    assert "--help" in done.stderr
    assert not list(tmp_path.iterdir())
