"""Runs every command of every README in the order in which they stand, on small images and with small networks.

A command is in `RUN`, with what is appended to make it small and what it promises, or in `NOT_RUN`, with the reason.
Of those that are not run the options are checked.
"""

import csv
import dataclasses
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags

from agad_tf import beam
from agad_tf.benchmark.sweep_flags import sweep_from_flags
from agad_tf.config.errors import UsageError
from agad_tf.config.flagfiles import with_flagfiles
from agad_tf.config.flags import config_from_flags, define_flags
from agad_tf.serving.onnx_litert import require_packages
from tests.end_to_end.readme_commands import READMES, ROOT, calls, commands
from tests.end_to_end.small_images import SMALLER, write_images

RNG = np.random.default_rng(0)


@dataclasses.dataclass(frozen=True)
class Run:
    """How a command is made small, and the files and the words of its output that it promises."""

    append: str = ""
    makes: tuple[str, ...] = ()
    says: str = ""


TINY_SET = "--data_dir=sets --epochs=1 --steps_per_epoch=2 --batch_size=16 --width=0.125"
# Both lists are by the beginning of a command; the longest that fits counts.
RUN = {
    "python -m agad_tf.main --flagfile=flags/folder.cfg --data_dir=photos --workdir=runs/photos": Run(
        append=" ".join(SMALLER),
        makes=tuple(
            f"runs/photos/{name}"
            for name in ("report.html", "results.json", "scores.csv", "config.cfg", "left_out.csv", "saved_model")
        ),
        says="per_image",
    ),
    "python -m agad_tf.main --flagfile=flags/npz.cfg": Run(
        append=" ".join(SMALLER), makes=("runs/pneumonia/report.html", "runs/pneumonia/saved_model/saved_model.pb")
    ),
    "python -m agad_tf.main --mode=evaluate --workdir=runs/photos --threshold=fpr": Run(
        makes=("runs/photos/results.json",)
    ),
    "python -m agad_tf.main --mode=evaluate --workdir=runs/photos --threshold=quantile": Run(
        makes=("runs/photos/results.json",)
    ),
    "python -m agad_tf.main --mode=predict": Run(makes=("scores/scores.csv", "scores/maps/odd/000.jpg.png")),
    "import tensorflow as tf": Run(says="serve ok"),
    "python -m agad_tf.main --mode=export --workdir=runs/photos --export_format=onnx": Run(
        makes=("runs/photos/model.onnx",)
    ),
    "python -m agad_tf.main --mode=export --workdir=runs/photos --export_format=litert": Run(
        makes=("runs/photos/model.tflite",)
    ),
    "from agad_tf import AGADDetector": Run(makes=("detector",), says="python ok"),
    "python -m agad_tf.main --mode=benchmark": Run(
        append=f"--normal_class=0 --gamma=0 --seeds=1 {TINY_SET}",
        makes=tuple(f"runs/compare/benchmark.{kind}" for kind in ("csv", "md", "html")),
        says="2 of 2 runs are finished",
    ),
    "python -m agad_tf.main --mode=audit --model=runs/photos/saved_model": Run(
        makes=("runs/audit/audit.html",), says="No dependence found"
    ),
    "python -m agad_tf.main --mode=audit --model=runs/photos --training_mode": Run(
        makes=("runs/audit-b/audit.html",), says="depends on its batch"
    ),
    "python -m agad_tf.beam --input='photos/**'": Run(says="70 images scored, 1 unreadable; see scores/photos"),
    "mkdir -p models/agad": Run(makes=("models/agad",)),
    "cp -r runs/photos/saved_model models/agad/1": Run(makes=("models/agad/1/saved_model.pb",)),
    "pytest tests/test_architecture.py": Run(append="-q -p no:cacheprovider", says=r"\d+ passed"),
    "python -m tests.benchmarks.record": Run(
        makes=("tests/benchmarks/results/measured.csv",), says="2 rows added to .*measured.csv"
    ),
    "python -m tests.benchmarks.own_images": Run(
        append="--size=32 --crop=16 --width=0.125 --steps=2 --policy=float32",
        makes=("tests/benchmarks/results/own_images.csv",),
    ),
    "python -m tests.benchmarks.tables": Run(makes=("tests/benchmarks/README.md",)),
}

INSTALLS = "installs the package, which .ci/run does"
CONTAINERS = "needs a container engine"
HOSTS = "needs several hosts"
MINUTES = "takes minutes to hours, and is run by hand"
NOT_RUN = {
    "python3 -m venv .venv": INSTALLS,
    ". .venv/bin/activate": INSTALLS,
    "pip install -e": INSTALLS,
    "python -m agad_tf.main --flagfile=flags/digits.cfg": "tests/end_to_end/test_readme.py runs it and reads its files",
    "pytest -n 2 --dist loadfile": "the tests themselves, which .ci/run runs",
    "pytest -m by_hand": MINUTES,
    "python -m tests.soak.kills": MINUTES,
    "python -m tests.soak.memory": MINUTES,
    "python -m tests.fuzz": "needs atheris, which is installed by hand",
    "python -m tests.benchmarks": MINUTES,
    "export TF_CONFIG=": HOSTS,
    "python -m agad_tf.main --flagfile=flags/cifar100.cfg --workdir=/shared": HOSTS,
    "export HOSTS=$(scontrol": "needs Slurm",
    "srun": "needs Slurm",
    "python -m agad_tf.beam --input='gs://": "needs an account of Dataflow",
    "python -m agad_tf.beam … --runner=FlinkRunner": "needs Flink",
    "docker run": CONTAINERS,
    "curl http://localhost:8501": CONTAINERS,
}

# What README's Python blocks leave to their reader.
BEFORE_PYTHON = """
import glob, numpy as np
from PIL import Image
images, new_images = (np.stack([np.asarray(Image.open(file)) for file in sorted(glob.glob(pattern))])
    for pattern in ("photos/normal/0*.jpg", "new_photos/0*.jpg"))
"""
AFTER_PYTHON = {
    "import tensorflow as tf": """
assert found["score"].shape == found["probability"].shape == found["is_anomaly"].shape == (len(images),)
assert found["error_map"].shape == found["reconstruction"].shape[:3]
print("serve ok")
""",
    "from agad_tf import AGADDetector": """
assert set(detector.predict(new_images)) <= {1, -1}
np.testing.assert_array_equal(AGADDetector.load("detector").predict(new_images), detector.predict(new_images))
print("python ok")
""",
}
SMALLER_DETECTOR = "random_state=0, " + ", ".join(
    option[2:].replace("scales=1", "scales=(1,)") for option in SMALLER if "=" in option
)

COMMANDS = commands()


def beginning_of(command):
    """The longest beginning in the two lists that a command has."""
    fitting = (beginning for beginning in {**RUN, **NOT_RUN} if command.text.startswith(beginning))
    return max(fitting, key=len, default=None)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A copy of the project with a reader's images beside it."""
    place = tmp_path_factory.mktemp("reader")
    for name in ("agad_tf", "flags", "tests"):
        shutil.copytree(ROOT / name, place / name)
    for name in ("README.md", "BUILD_NOTES.md", "pyproject.toml", "setup.py"):
        shutil.copy2(ROOT / name, place)
    write_images(place / "photos" / "normal", 60)
    write_images(place / "photos" / "abnormal", 10, odd=True)
    (place / "photos" / "normal" / "broken.jpg").write_bytes(b"rubbish")
    write_images(place / "new_photos", 6)
    write_images(place / "new_photos" / "odd", 3, odd=True)
    shutil.copy2(place / "new_photos" / "000.jpg", place / "a.jpg")
    (place / "new_photos" / "broken.jpg").write_bytes(b"rubbish")
    parts = {}
    for split, count in (("train", 80), ("val", 20), ("test", 20)):
        parts[f"{split}_images"] = RNG.integers(0, 256, (count, 28, 28), np.uint8)
        parts[f"{split}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, np.newaxis]
    np.savez(place / "pneumoniamnist.npz", **parts)
    write_benchmark_set(place / "sets")
    for part, count, odd in (("train/good", 20, False), ("test/good", 6, False), ("test/scratch", 6, True)):
        write_images(place / "SET" / part, count, odd=odd)
    author = ["-c", "user.name=reader", "-c", "user.email=reader@localhost"]
    subprocess.run(["git", "init", "-q"], cwd=place, check=True)
    subprocess.run(["git", *author, "commit", "-q", "--allow-empty", "-m", "Start"], cwd=place, check=True)
    return place


def write_benchmark_set(folder):
    """An archive in the place of Fashion-MNIST, of random images."""
    folder.mkdir()
    arrays = {}
    for split, count in (("train", 400), ("test", 100)):
        arrays[f"x_{split}"] = RNG.integers(0, 256, (count, 28, 28), np.uint8)
        arrays[f"y_{split}"] = (np.arange(count) % 10).astype(np.uint8)
    np.savez(folder / "fashion_mnist.npz", **arrays)


def exports_to_litert():
    """Whether the installed Keras can, as the lowest that this package admits cannot."""
    try:
        require_packages("litert")
    except UsageError:
        return False
    return True


def execute(place, command):
    environment = {**os.environ, "PYTHONPATH": str(place)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    if command.is_python:
        text = command.text.replace("random_state=0", SMALLER_DETECTOR)
        program = [sys.executable, "-c", BEFORE_PYTHON + text + AFTER_PYTHON[beginning_of(command)]]
    else:
        program = ["bash", "-c", f"{command.text} {RUN[beginning_of(command)].append}"]
    return subprocess.run(program, cwd=place, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", [each for each in COMMANDS if beginning_of(each) in RUN], ids=str)
def test_a_command_runs_and_leaves_what_it_promises(place, command):
    if "--export_format=litert" in command.text and not exports_to_litert():
        pytest.skip("this version of Keras does not export to LiteRT")
    rule = RUN[beginning_of(command)]
    makes = [place / name for name in rule.makes]
    before = {path: path.stat().st_mtime_ns for path in makes if path.exists()}
    done = execute(place, command)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert re.search(rule.says, done.stdout), f"{done.stdout}\n{done.stderr}"
    unwritten = [path for path in makes if not path.exists() or path.stat().st_mtime_ns == before.get(path)]
    assert not unwritten


def test_a_folder_of_images_becomes_a_detector_that_sees_what_is_odd(place):
    results = json.loads((place / "runs" / "photos" / "results.json").read_text())
    assert results["protocols"]["per_image"]["auroc"] > 0.95
    assert results["detector"]["threshold_source"] == "0.95 quantile of validation normals"
    assert "broken.jpg" in (place / "runs" / "photos" / "left_out.csv").read_text()


def test_an_array_file_trains_as_it_is(place):
    assert json.loads((place / "runs" / "pneumonia" / "results.json").read_text())["channels"] == 1


def test_new_images_are_scored(place):
    with (place / "scores" / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    odd = [float(row["score"]) for row in rows if "odd" in row["path"]]
    usual = [float(row["score"]) for row in rows if "odd" not in row["path"]]
    assert (len(odd), len(usual)) == (3, 6)
    assert min(odd) > max(usual)
    assert "broken.jpg" in (place / "scores" / "unreadable.csv").read_text()


def test_a_measured_row_has_the_columns_of_its_file(place):
    with (place / "tests" / "benchmarks" / "results" / "own_images.csv").open(newline="") as file:
        *_, row = csv.reader(file)
    with (ROOT / "tests" / "benchmarks" / "results" / "own_images.csv").open(newline="") as file:
        assert len(row) == len(next(csv.reader(file)))
    assert row[0] == "SET"


def test_every_command_is_in_one_of_the_two_lists():
    unknown = [str(command) for command in COMMANDS if beginning_of(command) is None]
    assert not unknown, "add them to RUN or, with the reason, to NOT_RUN"
    assert not set(RUN) & set(NOT_RUN)


def test_every_line_of_the_two_lists_is_of_a_command():
    assert {beginning_of(command) for command in COMMANDS} == {*RUN, *NOT_RUN}


def test_every_readme_has_commands():
    assert {command.readme for command in COMMANDS} == set(READMES)


@pytest.mark.parametrize("command", [each for each in COMMANDS if beginning_of(each) in NOT_RUN], ids=str)
def test_the_options_of_a_command_that_is_not_run_are_right(command):
    for arguments in calls("agad_tf.main", command.text):
        flag_values = flags.FlagValues()
        define_flags(flag_values)
        flag_values(with_flagfiles(["agad_tf", *arguments]))
        (sweep_from_flags if flag_values.mode == "benchmark" else config_from_flags)(flag_values)
    for arguments in calls("agad_tf.beam", command.text):
        require_options_of_beam(arguments)
    for module, arguments in re.findall(r"python -m (tests\.[\w.]+)(.*)", command.text):
        source = Path(importlib.util.find_spec(module).origin)
        if source.name == "__init__.py":
            source = source.with_name("__main__.py")
        for option in re.findall(r"--\w+", arguments):
            assert f'"{option}"' in source.read_text(encoding="utf-8")
    for marker in re.findall(r"pytest .*-m (\w+)", command.text):
        assert f'"{marker}: ' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def require_options_of_beam(arguments):
    """Checks the pipeline's own options by its parser, and all others by Beam's."""
    from apache_beam.options.pipeline_options import PipelineOptions  # noqa: PLC0415

    # A command with "…" has what stands in the place of the dots in the command before it.
    required = [] if "--input" in " ".join(arguments) else ["--input=a", "--model=b", "--output=c"]
    _, of_beam = beam.parse([*required, *arguments])
    known = PipelineOptions(of_beam).get_all_options()
    for name, value in (argument[2:].split("=", 1) for argument in of_beam):
        assert known[name] == value
