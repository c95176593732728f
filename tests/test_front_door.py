"""The names that `import agad_tf` gives: what they are, what type checkers see, and what they load."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import agad_tf
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.estimator.detector import AGADDetector
from agad_tf.models.agad import AGAD
from agad_tf.networks import build_discriminator, build_generator
from tests.architecture import ROOT

NAMES = {
    "AGAD": AGAD,
    "AGADDetector": AGADDetector,
    "ExperimentConfig": ExperimentConfig,
    "build_discriminator": build_discriminator,
    "build_generator": build_generator,
}
# What pages, plots, tables and TensorBoard are drawn with.
DRAWING = {"jinja2", "matplotlib", "rich", "tensorboard"}
# Prints the modules that are loaded after a statement.
LOADED = "import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"


def modules_after(statement):
    command = [sys.executable, "-c", LOADED.format(statement=statement)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout.splitlines()[-1]))


def packages(modules):
    return {module.partition(".")[0] for module in modules}


def packages_imported_by(path):
    """Packages that a file imports, inside functions as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def test_public_names_are_those_of_their_modules():
    assert set(agad_tf.__all__) == {*NAMES, "__version__"}
    for name, expected in NAMES.items():
        assert getattr(agad_tf, name) is expected


def test_dir_lists_public_names_before_they_are_loaded():
    listed = subprocess.run(
        [sys.executable, "-c", "import agad_tf; print(*dir(agad_tf))"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout.split()
    assert set(listed) >= {*NAMES, "__version__", "__doc__"}
    assert listed == sorted(listed)


def test_a_name_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(AttributeError, match="module 'agad_tf' has no attribute 'AGAN'; it has AGAD, AGADDetector"):
        agad_tf.AGAN  # noqa: B018


def test_type_checkers_see_what_each_public_name_is(tmp_path):
    path = tmp_path / "user.py"
    names = list(NAMES)
    lines = ["import agad_tf", *(f"reveal_type(agad_tf.{name})" for name in names), "agad_tf.AGAN"]
    path.write_text("\n".join(lines))
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT).stdout
    revealed = {}
    for line in said.splitlines():
        place, _, text = line.partition(": note: Revealed type is ")
        if text:
            revealed[names[int(place.rpartition(":")[2]) - 2]] = text.strip('"')
    assert set(revealed) == set(NAMES), said
    for name, of in NAMES.items():
        assert revealed[name].startswith("def ("), revealed[name]
        if isinstance(of, type):
            assert revealed[name].endswith(f"-> {of.__module__}.{name}"), revealed[name]
    assert f"user.py:{len(lines)}: error: Module has no attribute" in said


def test_the_front_door_loads_nothing_before_a_name_is_used():
    loaded = modules_after("import agad_tf")
    # What waits for Keras to be imported, the sentence it may have to say, and what TensorFlow reads first.
    waiting = {"agad_tf.config", "agad_tf.config.keras_registration", "agad_tf.config.errors", "agad_tf.config.onednn"}
    assert {module for module in loaded if module.startswith("agad_tf")} == {"agad_tf", *waiting}
    assert not packages(loaded) & {"tensorflow", "keras", "numpy"}


def test_the_estimator_loads_nothing_that_draws():
    loaded = modules_after("import agad_tf; agad_tf.AGADDetector")
    # Keras imports some of these itself where they are installed.
    by_keras = modules_after("import tensorflow, keras")
    assert "agad_tf.estimator.detector" in loaded
    assert packages(loaded) & DRAWING <= packages(by_keras)
    own = {module for module in loaded if module.partition(".")[0] == "agad_tf"}
    assert not {module for module in own if module.startswith("agad_tf.reporting")}
    for module in own:
        path = ROOT / Path(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        assert not DRAWING & set(packages_imported_by(path)), module
