"""The fuzzer's targets, on inputs that are in order; with atheris installed."""

import contextlib
import runpy
import sys

import pytest


def test_every_target_takes_its_seeds():
    pytest.importorskip("atheris")
    from tests.fuzz.__main__ import TARGETS, RunError, UsageError, seeds  # noqa: PLC0415

    for name, data in ((name, data) for name, of_target in seeds().items() for data in of_target):
        with contextlib.suppress(RunError, UsageError):
            TARGETS[name](data)


def test_without_atheris_one_sentence_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "atheris", None)
    with pytest.raises(SystemExit, match=r"^atheris is not installed; .*pip install atheris"):
        runpy.run_module("tests.fuzz", run_name="__main__")
