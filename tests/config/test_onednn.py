"""oneDNN is turned on before TensorFlow is imported, never against the user."""

import os
import platform
import subprocess
import sys

import pytest

from agad_tf.config import onednn
from tests.architecture import ROOT


@pytest.fixture
def processor(monkeypatch, tmp_path):
    """A function that makes this machine one of an architecture and of flags of its processor."""

    def become(machine="x86_64", flags="avx2"):
        (tmp_path / "cpuinfo").write_text(f"flags : {flags}")
        monkeypatch.setattr(onednn, "_PROCESSOR", tmp_path / "cpuinfo")
        monkeypatch.setattr(onednn.platform, "machine", lambda: machine)

    # First, so that what a test sets is taken back.
    monkeypatch.setenv(onednn.VARIABLE, "")
    monkeypatch.delenv(onednn.VARIABLE)
    become()
    return become


@pytest.mark.parametrize("module", ["agad_tf", "agad_tf.beam"])
def test_importing_the_package_turns_it_on(module):
    kept = {name: value for name, value in os.environ.items() if name != onednn.VARIABLE}
    command = [sys.executable, "-c", f"import os, {module}; print(os.environ.get('{onednn.VARIABLE}'))"]
    done = subprocess.run(command, env=kept, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ("1" if platform.machine() in ("x86_64", "AMD64") else "None")


@pytest.mark.parametrize(("machine", "value"), [("x86_64", "1"), ("AMD64", "1"), ("aarch64", None)])
def test_it_is_turned_on_for_x86(processor, monkeypatch, machine, value):
    processor(machine)
    monkeypatch.delitem(sys.modules, "tensorflow")
    onednn.enable_onednn()
    assert os.environ.get(onednn.VARIABLE) == value


def test_what_the_user_has_set_stays(processor, monkeypatch):
    monkeypatch.setenv(onednn.VARIABLE, "0")
    monkeypatch.delitem(sys.modules, "tensorflow")
    onednn.enable_onednn()
    assert os.environ[onednn.VARIABLE] == "0"
    assert "without oneDNN" in onednn.kernels()


@pytest.mark.parametrize(("flags", "warned"), [("avx2", True), ("avx2 avx512_vnni", False)])
def test_a_tensorflow_that_came_first_is_warned_of_where_it_matters(processor, recwarn, flags, warned):
    processor(flags=flags)
    onednn.enable_onednn()
    assert ["import agad_tf first" in str(warning.message) for warning in recwarn] == [True] * warned
    assert onednn.VARIABLE not in os.environ


def test_the_kernels_are_named(processor, monkeypatch):
    assert "without oneDNN" in onednn.kernels()
    monkeypatch.setenv(onednn.VARIABLE, "1")
    assert onednn.kernels() == "oneDNN kernels"
    processor("aarch64")
    assert onednn.kernels() == "TensorFlow's own kernels"
