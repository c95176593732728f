"""Runs every command in every README, or says why not."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags

from agad_tf.benchmark.sweep_flags import sweep_from_flags
from agad_tf.config.flagfiles import with_flagfiles
from agad_tf.config.flags import config_from_flags, define_flags
from agad_tf.data.preprocessing import to_uint8
from tests.end_to_end.test_own_images import commands as commands_for_own_images
from tests.end_to_end.test_own_images import environment, readers_folder
from tests.end_to_end.test_readme import ROOT

READMES = tuple(ROOT / folder / "README.md" for folder in ("", "flags", "agad_tf", "tests", "tests/benchmarks"))
DIGITS = "--dataset=digits --normal_class=8 --gamma=0 --seeds=1"
SMALL = "--width=0.0625 --image_size=32 --epochs=1 --steps_per_epoch=2 --batch_size=16"
# Run in a folder of small images, in this order, with options that make them small.
RUN_HERE = {
    "python -m agad_tf.main --mode=benchmark --flagfile=flags/fmnist_best.cfg": f"{DIGITS} {SMALL}",
    "python -m agad_tf.main --mode=audit --model=runs/photos/saved_model": "",
    "python -m agad_tf.main --mode=audit --model=runs/photos --training_mode": "",
    "python -m agad_tf.beam --input='photos/**' --model=runs/photos/saved_model": "",
    "mkdir -p models/agad && cp -r runs/photos/saved_model models/agad/1": "",
    "pytest tests/test_architecture.py": "-p no:cacheprovider",
    "python -m tests.benchmarks.tables": "--check",
}
# Run by other tests.
RUN_ELSEWHERE = {
    'python3 -m venv .venv && . .venv/bin/activate && pip install -e ".[test]"': ".ci/run",
    "python3 -m venv .venv && . .venv/bin/activate && pip install -e . ": "tests/end_to_end/test_readme.py",
    **dict.fromkeys(
        (f"python -m agad_tf.main {' '.join(each)}" for each in commands_for_own_images()),
        "tests/end_to_end/test_own_images.py",
    ),
    "pytest -n 2 --dist loadfile": ".ci/run",
    "pytest -m by_hand": ".ci/run",
    "python -m tests.soak.": "tests/soak/test_field_tools.py",
    "python -m tests.fuzz": "tests/fuzz/test_field_tools.py",
    "python -m tests.benchmarks ": "tests/benchmarks/test_field_tools.py",
    "python -m tests.benchmarks.record": "tests/benchmarks/test_tables.py",
    "python -m tests.benchmarks.own_images": "tests/benchmarks/test_own_images.py",
}
# Not run by any test, and why.
NOT_RUN = {
    "docker run": "needs a container engine",
    "curl": "needs the server of the line before",
    "export TF_CONFIG=": "needs two machines",
    "python -m agad_tf.main --flagfile=flags/cifar100.cfg --workdir=/shared/runs/a": "needs two machines",
    "#!/bin/bash\n#SBATCH": "needs Slurm",
    "python -m agad_tf.beam --input='gs://": "needs Dataflow",
    "python -m agad_tf.beam … --runner=FlinkRunner": "needs Flink",
}
WITH_NEWLINES = re.compile(r"\s*\\\n\s*")


def blocks(language):
    texts = [readme.read_text(encoding="utf-8") for readme in READMES]
    return re.findall(rf"^```{language}\n(.*?)^```", "".join(texts), re.MULTILINE | re.DOTALL)


def commands():
    """All commands in the order of the READMEs; a script is one."""
    for block in blocks("bash"):
        if block.startswith("#!"):
            yield block
            continue
        for line in WITH_NEWLINES.sub(" ", block).splitlines():
            if command := re.sub(r"(^|\s)# .*", "", line).strip():
                yield command


def of(table, command):
    """What a table has for a command, by how it begins."""
    return next((table[key] for key in table if f"{command} ".startswith(key)), None)


@pytest.mark.parametrize("command", [*commands()])
def test_a_command_is_run_or_it_is_said_why_not(command):
    places = [of(table, command) is not None for table in (RUN_HERE, RUN_ELSEWHERE, NOT_RUN)]
    assert sum(places) == 1
    if where := of(RUN_ELSEWHERE, command):
        assert (ROOT / where).exists()


@pytest.mark.parametrize("table", [RUN_HERE, RUN_ELSEWHERE, NOT_RUN])
def test_the_tables_name_no_command_that_is_gone(table):
    found = [*commands()]
    assert [key for key in table if not any(f"{command} ".startswith(key) for command in found)] == []


def command_lines():
    """The flags of every command of the package, also of those that are not run."""
    text = WITH_NEWLINES.sub(" ", "\n".join([*blocks("bash"), *blocks("yaml")]))
    for line in re.findall(r"(?:python -m agad_tf\.main|python, -m, agad_tf\.main,) (--[^\n\]#']*)", text):
        yield line.replace(", ", " ").strip()


@pytest.mark.parametrize("line", [*command_lines()])
def test_flags_of_every_command_exist_and_do_not_contradict(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flags").symlink_to(ROOT / "flags")
    values = flags.FlagValues()
    define_flags(values)
    values(with_flagfiles(["agad_tf", *shlex.split(line)]))
    if values.mode == "benchmark":
        sweep_from_flags(values)
    elif values.mode in ("train", "audit"):
        # The others read the configuration of a run.
        config_from_flags(values)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A reader's folder, with a run on grey images."""
    place = readers_folder(tmp_path_factory)
    options = f"--flagfile=flags/folder.cfg --data_dir=photos --workdir=runs/photos --crop_size=32 --scales=1 {SMALL}"
    run(f"python -m agad_tf.main {options}", place)
    return place


def run(command, place):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    surroundings = {**environment(), "PATH": path}
    shell = ["bash", "-c", command]
    done = subprocess.run(shell, cwd=place, env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)


@pytest.mark.slow
def test_commands_run_in_their_order(place):
    for command in commands():
        smaller = of(RUN_HERE, command)
        if smaller is not None:
            of_checkout = command.startswith(("pytest", "python -m tests"))
            run(f"{command} {smaller}", ROOT if of_checkout else place)
    for left in ("runs/compare/benchmark.html", "runs/audit", "runs/audit-b", "models/agad/1/saved_model.pb"):
        assert (place / left).exists()
    assert list((place / "scores").glob("photos*"))


@pytest.mark.slow
def test_python_blocks_run_one_after_another(place, monkeypatch):
    monkeypatch.chdir(place)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3))
    images = to_uint8(pixels / 127.5 - 1)
    (place / "a.jpg").write_bytes((place / "photos" / "normal" / "000.jpg").read_bytes())
    names = {"images": images, "new_images": images[:4]}
    for block in blocks("python"):
        small = "random_state=0, epochs=1, steps_per_epoch=1, image_size=32, crop_size=32, scales=(1,), width=0.0625"
        exec(block.replace("random_state=0", small), names)
    assert names["found"]["score"].shape == (24,)
    assert (place / "detector").is_dir()
