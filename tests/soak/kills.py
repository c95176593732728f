"""Kills runs at random moments until they are finished, and compares them with unbroken ones. Run by hand:

python -m tests.soak.kills --kills=25
"""

import argparse
import collections
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

# Saves within epochs as well, which the command itself does only where they are long.
PROGRAM = "import agad_tf.training.checkpoints as c; c.SAVE_SECONDS = 0.3; from agad_tf.main import run; run()"
TRAIN = (
    "--flagfile=flags/digits.cfg",
    "--gamma=0.1",
    "--width=0.125",
    "--batch_size=32",
    "--min_anomalies=8",
    "--epochs=6",
    "--learning_rate_schedule=cosine",
    "--ema_momentum=0.9",
    "--score=mahalanobis",
)
BENCHMARK = (*TRAIN[:1], "--mode=benchmark", "--normal_class=1,2", "--epochs=2", "--width=0.0625")
# A kill waits for one of these to appear, or for a random moment.
MOMENTS = {
    "any moment": None,
    "while a checkpoint is written": "checkpoints/partial.*",
    "while a summary is written": "tensorboard/*.epoch-*",
    "while figures are written": "*.partial",
    "while the detector is exported": "partial-saved_model/*",
}
LONGEST = 40.0  # seconds that an unbroken run takes on a busy machine


def start(folder: Path, *flags: str) -> subprocess.Popen:
    with folder.with_suffix(".log").open("a") as log:
        return subprocess.Popen([sys.executable, "-c", PROGRAM, *flags, f"--workdir={folder}"], stdout=log, stderr=log)


def finish(folder: Path, *flags: str) -> None:
    if start(folder, *flags).wait():
        raise SystemExit(f"The command failed:\n{folder.with_suffix('.log').read_text()[-2000:]}")


def kill_at(process: subprocess.Popen, folder: Path, pattern: str | None, rng: random.Random) -> bool:
    """Kills; gives whether there was anything left to kill."""
    before = set(folder.glob(pattern)) if pattern else set()
    moment = time.monotonic() + rng.uniform(3, LONGEST / 2)
    while process.poll() is None:
        if pattern and set(folder.glob(pattern)) - before:
            time.sleep(rng.uniform(0, 0.02))
            break
        if time.monotonic() > moment + (LONGEST if pattern else 0):
            break
        time.sleep(0.0005)
    process.kill()
    return process.wait() == -signal.SIGKILL


def state_of(folder: Path) -> tuple[dict[str, np.ndarray], str, dict]:
    """All tensors of the last checkpoint but the time it took, scores.csv, and the figures."""
    path = max(folder.glob("checkpoints/epoch-*.index"), key=lambda p: int(p.stem.split("-")[1]))
    reader = tf.train.load_checkpoint(str(path.with_suffix("")))
    names = [name for name in reader.get_variable_to_shape_map() if not name.startswith(("seconds", "_CHECK"))]
    results = json.loads((folder / "results.json").read_text())
    return {name: reader.get_tensor(name) for name in names}, (folder / "scores.csv").read_text(), results["protocols"]


def require_equal(found: tuple, expected: tuple) -> None:
    assert found[0].keys() == expected[0].keys()
    for name, tensor in expected[0].items():
        np.testing.assert_array_equal(found[0][name], tensor, err_msg=name)
    assert found[1:] == expected[1:]


def kill_training(root: Path, kills: int, rng: random.Random) -> None:
    finish(root / "unbroken", *TRAIN)
    expected = state_of(root / "unbroken")
    counts: collections.Counter = collections.Counter()
    runs = 0
    while sum(counts.values()) < kills:
        runs += 1
        folder = root / f"killed-{runs}"
        for _ in range(rng.randint(3, 6)):
            moment = rng.choice(list(MOMENTS))
            if kill_at(start(folder, *TRAIN), folder, MOMENTS[moment], rng):
                counts[moment] += 1
        finish(folder, *TRAIN)
        require_equal(state_of(folder), expected)
    print(
        f"training: {sum(counts.values())} kills in {runs} runs ({dict(counts)}); all equal the unbroken one to the bit"
    )


def table_of(folder: Path) -> list[str]:
    """The rows of benchmark.csv without the time they took."""
    lines = [line.split(",") for line in (folder / "benchmark.csv").read_text().splitlines()]
    timed = lines[0].index("seconds")
    return sorted(",".join(cell for place, cell in enumerate(line) if place != timed) for line in lines)


def kill_benchmark(root: Path, kills: int, rng: random.Random) -> None:
    finish(root / "sweep", *BENCHMARK)
    folder = root / "killed-sweep"
    killed = 0
    for _ in range(kills):
        pattern = rng.choice([None, "benchmark.*.partial", "runs/*/results.json"])
        killed += kill_at(start(folder, *BENCHMARK), folder, pattern, rng)
    finish(folder, *BENCHMARK)
    assert table_of(folder) == table_of(root / "sweep")
    print(f"benchmark: {killed} kills; its table equals the unbroken one's")


def ask_to_stop(root: Path, times: int, rng: random.Random) -> None:
    finish(root / "stopped-unbroken", *TRAIN)
    expected = state_of(root / "stopped-unbroken")
    longest, asked, runs = 0.0, 0, 0
    while asked < times:
        runs += 1
        folder = root / f"stopped-{runs}"
        for _ in range(2):
            log = folder.with_suffix(".log")
            starts = log.read_text().count("The run is in") if log.exists() else 0
            process = start(folder, *TRAIN)
            # `PROGRAM` imports TensorFlow before it minds signals, unlike the command.
            while log.read_text().count("The run is in") == starts and process.poll() is None:
                time.sleep(0.05)
            time.sleep(rng.uniform(0, LONGEST / 4))
            process.send_signal(rng.choice([signal.SIGTERM, signal.SIGINT]))
            began = time.monotonic()
            code = process.wait()
            assert code in (0, 130), code
            if code:
                asked += 1
                longest = max(longest, time.monotonic() - began)
        finish(folder, *TRAIN)
        require_equal(state_of(folder), expected)
    print(f"SIGTERM and SIGINT: {asked} times, at most {longest:.1f} s until the end; equal to the unbroken run")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--stops", type=int, default=6, help="by SIGTERM and SIGINT; 0 leaves them out")
    parser.add_argument("--sweep_kills", type=int, default=6, help="of a benchmark; 0 leaves it out")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as root:
        if options.stops:
            ask_to_stop(Path(root), options.stops, rng)
        if options.sweep_kills:
            kill_benchmark(Path(root), options.sweep_kills, rng)
        kill_training(Path(root), options.kills, rng)


if __name__ == "__main__":
    main()
