"""With a stand-in for the command that experiments are run by; tests/end_to_end/ runs the real one."""

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from agad_tf.benchmark import runner as benchmark
from agad_tf.benchmark.sweep import build_sweep
from agad_tf.config.errors import RunError
from agad_tf.config.experiment import ExperimentConfig

# Fails for class 3, takes long for class 4, and else leaves results and a line in a diary.
STAND_IN = """
import json, pathlib, sys, time
flags = dict(argument[2:].split("=", 1) for argument in sys.argv[1:])
folder = pathlib.Path(flags["workdir"])
folder.mkdir(parents=True, exist_ok=True)
with (folder.parents[1] / "diary").open("a") as diary:
    diary.write(flags["normal_class"] + " ")
if flags["normal_class"] == "3":
    sys.exit("no such luck")
if flags["normal_class"] == "4":
    time.sleep(60)
figures = {"auroc": int(flags["normal_class"]) / 10}
results = {"schema_version": 1, "dataset": "digits", "method": "agad", "generator": "unet", "gamma": 0.0,
           "normal_class": int(flags["normal_class"]), "seed": 0, "anomaly_classes": [], "epochs": 1, "width": 1.0,
           "data_origin": "", "channels": 1, "versions": {}, "detector": {},
           "protocols": {"per_image": figures}}
(folder / "results.json").write_text(json.dumps(results))
"""

LONG = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    monkeypatch.setattr(benchmark, "COMMAND", (sys.executable, "-c", STAND_IN))


@pytest.fixture
def sweep(tmp_path):
    def sweep(*classes, budget=""):
        base = {**dataclasses.asdict(ExperimentConfig()), "dataset": "digits"}
        return build_sweep(str(tmp_path), base, {"normal_class": classes}, budget)

    return sweep


def diary(tmp_path):
    return (tmp_path / "diary").read_text().split()


def test_every_experiment_is_run_once_and_its_figures_are_in_the_tables(sweep, tmp_path, capsys):
    benchmark.benchmark(sweep(1, 5))
    assert diary(tmp_path) == ["1", "5"]
    assert "30.0 ± 28.3" in (tmp_path / "benchmark.md").read_text()
    assert "30.0 ± 28.3" in (tmp_path / "benchmark.html").read_text()
    assert len((tmp_path / "benchmark.csv").read_text().splitlines()) == 3
    assert "2 of 2 runs are finished" in capsys.readouterr().out
    benchmark.benchmark(sweep(1, 5))
    assert diary(tmp_path) == ["1", "5"]


def test_another_sweep_in_the_same_folder_adds_to_the_tables(sweep, tmp_path):
    benchmark.benchmark(sweep(1))
    benchmark.benchmark(sweep(5))
    assert "30.0 ± 28.3" in (tmp_path / "benchmark.md").read_text()
    assert "1 of 1 runs are finished." in (tmp_path / "benchmark.md").read_text()


def test_a_damaged_result_is_left_out_of_the_tables_and_said(sweep, tmp_path, capsys):
    benchmark.benchmark(sweep(1, 5))
    (sweep(1).experiments[0].folder / "results.json").write_text('{"a":')
    benchmark.benchmark(sweep(1, 5, 7))
    assert "Left out of the tables: " in capsys.readouterr().out
    assert "60.0 ± 14.1" in (tmp_path / "benchmark.md").read_text()


def test_a_run_that_is_half_done_is_run_again(sweep, tmp_path):
    benchmark.benchmark(sweep(1, 5))
    (sweep(5).experiments[0].folder / "results.json").unlink()
    benchmark.benchmark(sweep(1, 5))
    assert diary(tmp_path) == ["1", "5", "5"]


def test_a_run_that_fails_does_not_keep_others_from_running(sweep, tmp_path):
    with pytest.raises(RunError, match=r"1 of 3 runs failed .*digits-3.*see the last lines of .*\.log"):
        benchmark.benchmark(sweep(1, 3, 5))
    assert diary(tmp_path) == ["1", "3", "5"]
    (log,) = (tmp_path / "runs").glob("digits-3-*.log")
    assert "no such luck" in log.read_text()


def test_what_another_process_runs_is_left_to_it(sweep, tmp_path):
    experiment = sweep(1).experiments[0]
    experiment.folder.parent.mkdir(parents=True)
    with FileLock(f"{experiment.folder}.lock"):
        benchmark.benchmark(sweep(1, 5))
    assert diary(tmp_path) == ["5"]
    benchmark.benchmark(sweep(1, 5))
    assert diary(tmp_path) == ["5", "1"]


def test_the_budget_interrupts_what_is_under_way_and_begins_nothing_more(sweep, tmp_path, capsys):
    began = time.monotonic()
    benchmark.benchmark(sweep(1, 4, 5, budget="3s"))
    assert time.monotonic() - began < 30
    assert diary(tmp_path) == ["1", "4"]
    assert "1 of 3 runs are finished" in capsys.readouterr().out
    assert json.loads((sweep(1).experiments[0].folder / "results.json").read_text())["normal_class"] == 1


def test_an_experiment_ends_with_its_benchmark_however_that_ends(tmp_path):
    script = (
        "import sys\nfrom agad_tf.benchmark import runner\nfrom agad_tf.config.experiment import ExperimentConfig\n"
        f"runner.COMMAND = (sys.executable, '-c', {LONG!r})\n"
        f"runner._run(ExperimentConfig(workdir={str(tmp_path / 'run')!r}), float('inf'))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    log = tmp_path / "run.log"
    wait_until(lambda: log.exists() and log.read_text())
    experiment = int(log.read_text())
    process.kill()
    process.wait()
    wait_until(lambda: not Path(f"/proc/{experiment}").exists())


def wait_until(holds, seconds=20):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
