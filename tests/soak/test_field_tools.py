"""The soaks that are run by hand, at their smallest."""

import random
import subprocess
import sys

from agad_tf.training.run import train
from tests.runs import digits_run
from tests.soak import kills, memory


def test_memory_is_reported_of_training_and_of_scoring(monkeypatch, capsys):
    monkeypatch.setattr(memory, "SAMPLE_SECONDS", 0.1)
    memory.score(8, batch_size=1)
    memory.train(hours=4 / 3600)
    printed = capsys.readouterr().out
    assert "graphs traced: 1" in printed
    assert "training: 0.00111111 h" in printed


def test_an_unbroken_run_is_what_killed_ones_are_compared_with(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["kills", "--kills=0", "--stops=0", "--sweep_kills=0"])
    config = {"epochs": 1, "protocols": ("per_image",)}
    monkeypatch.setattr(kills, "finish", lambda folder, *flags: train(digits_run(folder, **config)))
    kills.main()
    assert "0 kills in 0 runs" in capsys.readouterr().out


def test_a_process_is_killed_at_its_moment(tmp_path, monkeypatch):
    monkeypatch.setattr(kills, "LONGEST", 0.0)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], cwd=tmp_path)
    (tmp_path / "early").touch()
    assert kills.kill_at(process, tmp_path, None, random.Random(0))
