"""oneDNN is turned on before TensorFlow is imported, never against the user."""

import os
import subprocess
import sys

import pytest

from agad_tf.config import onednn
from tests.architecture import ROOT

pytestmark = pytest.mark.skipif(onednn.platform.machine() not in ("x86_64", "AMD64"), reason="concerns x86 processors")


def variable_after(statement, **environment):
    kept = {name: value for name, value in os.environ.items() if name != onednn.VARIABLE}
    command = [sys.executable, "-c", f"import os; {statement}; print(os.environ.get('{onednn.VARIABLE}'))"]
    done = subprocess.run(command, env={**kept, **environment}, capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.strip()


def test_importing_the_package_turns_it_on():
    assert variable_after("import agad_tf") == "1"
    assert variable_after("import agad_tf.beam") == "1"


def test_what_the_user_has_set_stays():
    assert variable_after("import agad_tf", **{onednn.VARIABLE: "0"}) == "0"


@pytest.mark.parametrize(("flags", "warned"), [("avx2", True), ("avx2 avx512_vnni", False)])
def test_a_tensorflow_that_came_first_is_warned_of_where_it_matters(monkeypatch, recwarn, tmp_path, flags, warned):
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}")
    monkeypatch.setattr(onednn, "_PROCESSOR", tmp_path / "cpuinfo")
    monkeypatch.delenv(onednn.VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow", object())
    onednn.enable_onednn()
    assert ["import agad_tf first" in str(warning.message) for warning in recwarn] == [True] * warned
    assert onednn.VARIABLE not in os.environ


@pytest.mark.parametrize(("value", "said"), [("1", "oneDNN kernels"), ("0", "without oneDNN")])
def test_the_kernels_are_named(monkeypatch, value, said):
    monkeypatch.setenv(onednn.VARIABLE, value)
    assert said in onednn.kernels()
