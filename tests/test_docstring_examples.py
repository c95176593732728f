"""Executes the examples in the docstrings of the package."""

import doctest
import importlib

import pytest

from tests.architecture import ROOT

MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "agad_tf").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_give_what_they_say(name):
    done = doctest.testmod(importlib.import_module(name))
    assert done.attempted
    assert not done.failed


def test_public_classes_and_functions_have_examples():
    assert {"agad_tf.networks", "agad_tf.models.agad", "agad_tf.estimator.detector"} <= set(MODULES)
