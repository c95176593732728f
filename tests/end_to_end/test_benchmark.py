"""Runs a small benchmark as a user would: killed, continued, and read."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND = (
    *(sys.executable, "-m", "agad_tf.main", "--mode=benchmark", "--flagfile=flags/digits.cfg", "--epochs=2"),
    *("--normal_class=8", "--sweep=method=agad,skip_ganomaly,knn", "--protocols=per_image,family_shuffled,family"),
)


def test_a_benchmark_that_is_killed_is_gone_on_with(tmp_path):
    command = [*COMMAND, f"--workdir={tmp_path}"]
    first = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/results.json")):
        assert time.monotonic() < deadline, "no run has finished"
        time.sleep(0.1)
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 130
    (finished,) = tmp_path.glob("runs/*/results.json")
    before = finished.stat().st_mtime_ns

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 of 3 runs are finished" in done.stdout
    assert finished.stat().st_mtime_ns == before
    rows = list(csv.DictReader((tmp_path / "benchmark.csv").open()))
    assert sorted((row["method"], row["protocol"]) for row in rows) == [
        *(("agad", name) for name in ("family", "family_shuffled", "per_image")),
        ("knn", "per_image"),
        *(("skip_ganomaly", name) for name in ("family", "family_shuffled", "per_image")),
    ]
    for path in tmp_path.glob("runs/*/results.json"):
        results = json.loads(path.read_text())
        (row,) = (r for r in rows if (r["method"], r["protocol"]) == (results["method"], "per_image"))
        assert float(row["auroc"]) == results["protocols"]["per_image"]["auroc"]
    assert "<table" in (tmp_path / "benchmark.html").read_text()
