"""Trains with several devices and processes, as a user starts them, on this machine's loopback."""

import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.end_to_end.test_readme import ROOT, agad

DIGITS = ["--flagfile=flags/digits.cfg", "--width=0.125", "--gamma=0.05", "--min_anomalies=4", "--epochs=4"]
COMMAND = [*DIGITS, "--synchronized_batch_norm"]
# What a worker may take to notice that another one is gone.
PATIENCE = 60


def start_workers(*folders):
    """Starts the workers of a cluster, one a folder; gives their processes and logs."""
    sockets = [socket.socket() for _ in folders]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return [start_worker(addresses, index, folder) for index, folder in enumerate(folders)]


def start_worker(addresses, index, folder):
    cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    log = folder.with_name(f"worker-{index}-{time.monotonic_ns()}.log")
    process = subprocess.Popen(
        [sys.executable, "-m", "agad_tf.main", *COMMAND, f"--workdir={folder}"],
        cwd=ROOT,
        env={**os.environ, "TF_CONFIG": json.dumps(cluster)},
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
    )
    return process, log


def finish(workers):
    for process, log in workers:
        assert process.wait(timeout=300) == 0, log.read_text()


def scores(folder):
    return np.loadtxt(folder / "scores.csv", delimiter=",", skiprows=1)[:, 2]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of the run of one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    done = agad(*COMMAND, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


def test_logical_devices_train_to_the_scores_of_one(alone, tmp_path):
    done = agad(*COMMAND, "--devices=CPU:0,CPU:1", f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    assert "2 replicas, synchronized batch normalization" in done.stdout
    np.testing.assert_allclose(scores(tmp_path / "run"), scores(alone), rtol=0.02)


def test_devices_that_normalise_by_their_own_images_come_near(alone, tmp_path):
    done = agad(*DIGITS, "--devices=CPU:0,CPU:1", f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    assert "2 replicas, oneDNN kernels" in done.stdout
    np.testing.assert_allclose(scores(tmp_path / "run"), scores(alone), rtol=0.1)


def test_two_workers_train_to_the_scores_of_one_and_survive_a_kill(alone, tmp_path):
    folder = tmp_path / "run"
    workers = start_workers(folder, folder)
    deadline = time.monotonic() + 200
    while not list(folder.glob("checkpoints/epoch-2.index")):
        assert all(process.poll() is None for process, _ in workers), [log.read_text() for _, log in workers]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    workers[1][0].kill()
    assert workers[0][0].wait(timeout=PATIENCE) != 0, "a worker alone cannot go on"
    assert not (folder / "results.json").exists()

    # A worker that does not see the folder of the others would begin anew while they go on.
    workers = start_workers(folder, tmp_path / "elsewhere")
    assert all(process.wait(timeout=200) != 0 for process, _ in workers)
    assert any("would continue after epoch" in log.read_text() for _, log in workers)

    workers = start_workers(folder, folder)
    finish(workers)
    assert "Continuing after epoch" in workers[0][1].read_text()
    np.testing.assert_allclose(scores(folder), scores(alone), rtol=0.02)
    # A chief that is lost while it measures needs no other worker to finish.
    expected = scores(folder)
    (folder / "results.json").unlink()
    (folder / "scores.csv").unlink()
    finish([start_worker(["127.0.0.1:1", "127.0.0.1:2"], 0, folder)])
    np.testing.assert_array_equal(scores(folder), expected)
    # Only the chief writes: every epoch has one file of summaries, and nothing stands beside the run.
    for epoch in range(1, 5):
        assert len(list(folder.glob(f"tensorboard/*.epoch-{epoch}"))) == 1
    assert {path.name for path in tmp_path.iterdir() if not path.name.endswith(".log")} == {"run"}
