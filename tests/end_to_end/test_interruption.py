"""Stops a run from outside, as a user or a cluster does, and lets the same command continue it."""

import signal
import subprocess
import sys
import time

import pytest

from tests.end_to_end.test_readme import ROOT, agad

COMMAND = ["--flagfile=flags/digits.cfg", "--epochs=6", "--width=0.125"]


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_stopped_run_is_continued_by_the_same_command(tmp_path, number, exit_code):
    command = [*COMMAND, f"--workdir={tmp_path / 'run'}"]
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "agad_tf.main", *command], cwd=ROOT, stdout=output, stderr=output
        )
        deadline = time.monotonic() + 90
        while "epoch 2/6" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(number)
        assert process.wait(timeout=10) == exit_code
    if exit_code == 130:
        assert "the same command continues" in log.read_text()
    assert "Traceback" not in log.read_text()
    continued = agad(*command)
    assert continued.returncode == 0, continued.stderr
    assert "Continuing after epoch" in continued.stdout
