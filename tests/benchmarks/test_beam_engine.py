"""The comparison of Beam's engines, at its smallest: DirectRunner in one process and in two."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agad_tf.evaluation.thresholds import Decision
from agad_tf.serving.saved_model import export_saved_model
from tests.benchmarks import beam_engine
from tests.benchmarks.beam_engine import Row, compared

ROOT = Path(__file__).parents[2]
EXPECTED = {"a.png": Row(2.0, "False"), "b.png": Row(4.0, "True")}


@pytest.fixture
def arguments(build_model, tmp_path):
    """Of the comparison, by two images; the engines are to be added."""
    export_saved_model(build_model(), Decision(8.0, "", 1.0, 1.0, ""), tmp_path / "saved_model")
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return [f"--input={tmp_path}/*.png", f"--model={tmp_path / 'saved_model'}", "--engines"]


@pytest.mark.slow
def test_two_processes_write_what_one_writes(arguments):
    # Beam's engines start processes; they do so in a process of their own, whose end is certain.
    command = [sys.executable, "-m", "tests.benchmarks.beam_engine", *arguments, "processes"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    direct, processes = done.stdout.splitlines()
    assert direct.startswith("direct: ")
    assert "; equal: 2 rows" in processes
    assert "2 images scored, 0 unreadable" in processes


def test_without_dask_one_sentence_says_how_to_install_it(arguments, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    monkeypatch.setattr(sys, "argv", ["beam_engine", *arguments, "dask"])
    with pytest.raises(SystemExit, match=r"apache-beam\[dask\]"):
        beam_engine.main()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (EXPECTED, "equal: 2 rows, scores differ by 0 at most"),
        ({**EXPECTED, "b.png": Row(4.00002, "True")}, "equal: 2 rows, scores differ by 5e-06"),
        ({**EXPECTED, "b.png": Row(4.001, "True")}, "NOT EQUAL: 2 rows, scores differ by 0.0003"),
        ({**EXPECTED, "b.png": Row(4.0, "False")}, "NOT EQUAL: 2 rows, scores differ by 0 at most, 1 verdicts"),
        ({"a.png": EXPECTED["a.png"]}, "NOT EQUAL: 1 rows in place of 2"),
        ({}, "NOT EQUAL: 0 rows in place of 2"),
    ],
)
def test_rows_are_equal_to_rounding_or_said_not_to_be(rows, said):
    assert compared(rows, EXPECTED).startswith(said)
