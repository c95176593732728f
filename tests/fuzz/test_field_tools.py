"""The fuzzer's targets, on inputs that are in order; with atheris installed."""

import contextlib

import pytest


def test_every_target_takes_its_seeds():
    pytest.importorskip("atheris")
    from tests.fuzz.__main__ import TARGETS, RunError, UsageError, seeds  # noqa: PLC0415

    for name, data in ((name, data) for name, of_target in seeds().items() for data in of_target):
        with contextlib.suppress(RunError, UsageError):
            TARGETS[name](data)
