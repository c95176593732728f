"""Measures training steps and scoring, each configuration in a process of its own, and prints a table.

    python -m tests.benchmarks --quick          # how fast it is here, against PyTorch, in under three minutes
    python -m tests.benchmarks                  # the grid below, about half an hour on two cores
    python -m tests.benchmarks --only=peer      # ours against PyTorch's, in turns
    python -m tests.benchmarks --only=command   # memory, and waiting for input, of a training run

Rows are appended to results/speed.csv as they come. `gflops` is the least floating-point work of the step by the time
it took; `share` is that by the rate of a matrix product measured in turns with the step, in the same precision; `load`
is the machine's before the measurement, in which the one before has a part.
"""

import argparse
import csv
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from agad_tf.config.choices import GENERATORS
from tests.benchmarks.record import processor

ROOT = Path(__file__).parents[2]
BATCH_SIZES = (1, 16, 64, 256, 1024)
PRECISIONS = ("float32", "bfloat16")
ROWS = Path(__file__).parent / "results" / "speed.csv"
PEER_TURNS = 3
# Load above which something else is at work.
BUSY = 0.5
QUICK = {"batch_size": 64, "rounds": 3}
WITHOUT_TORCH = (
    "PyTorch is not installed; to compare with it: pip install torch --index-url https://download.pytorch.org/whl/cpu"
)
COLUMNS = (
    *("date", "commit", "machine", "load", "framework", "generator", "batch_size", "precision", "replicas", "xla"),
    *("step_ms", "images_per_second", "gflops", "matmul_gflops", "share"),
    *("scored_per_second", "served_per_second", "seconds_to_first_step", "peak_mib"),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the default network alone, with and without bfloat16")
    parser.add_argument("--only", choices=["grid", "peer", "command"])
    parser.add_argument("--csv", type=Path, default=ROWS)
    parser.add_argument("--generators", default=",".join(GENERATORS), help="of the grid")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    if load > BUSY:
        print(
            f"This machine is busy (load {load:.1f}): rates are lower than they are on an idle one, and most of all "
            "PyTorch's, whose threads wait for each other.",
            flush=True,
        )
    if options.quick:
        quick(options.csv)
        return
    parts = {"peer": peer, "grid": lambda path: grid(path, options.generators.split(",")), "command": command}
    for name in [options.only] if options.only else parts:
        parts[name](options.csv)


def quick(path):
    """A training step and scoring in both precisions; PyTorch's as well where it is installed."""
    frameworks = ("tensorflow", "torch") if has_torch() else ("tensorflow",)
    for precision in PRECISIONS:
        ours, *theirs = (measure(path, framework=name, precision=precision, **QUICK) for name in frameworks)
        speeds = [("trained", "images_per_second"), ("scored", "scored_per_second")]
        for what, name in speeds:
            beside = f", {ours[name] / theirs[0][name]:.2f} times PyTorch's {theirs[0][name]:.0f}" if theirs else ""
            print(f"{precision}: {ours[name]:.0f} images a second {what}{beside}", flush=True)
    if len(frameworks) == 1:
        print(WITHOUT_TORCH)


def has_torch():
    return importlib.util.find_spec("torch") is not None


def grid(path, generators):
    """Generators at every size and precision; replicas and XLA at batch 256."""
    configurations = []
    for generator in generators:
        for precision in PRECISIONS:
            base = {"generator": generator, "precision": precision}
            # A step of UNet++ at 1024 would take half a minute and 20 GB.
            sizes = [size for size in BATCH_SIZES if size <= 256 or generator == "encoder_decoder"]
            configurations += [{**base, "batch_size": size} for size in sizes]
            configurations += [{**base, "replicas": 2}, {**base, "xla": 1}]
    report([measure(path, **configuration) for configuration in tqdm(configurations, "grid")])


def peer(path):
    """Whether ours and PyTorch's compute the same, and then both in turns; the ratios of the medians."""
    if not has_torch():
        raise SystemExit(WITHOUT_TORCH)
    agreement = run_child("tests.benchmarks.agreement")
    print(f"Losses of {agreement['steps']} steps agree to {agreement['relative_difference']:.0e}")
    rows = []
    for precision in PRECISIONS:
        turns = [
            [measure(path, framework=framework, precision=precision) for framework in ("tensorflow", "torch")]
            for _ in tqdm(range(PEER_TURNS), f"against PyTorch, {precision}")
        ]
        rows += [row for turn in turns for row in turn]
        for name in ("step_ms", "scored_per_second"):
            ours, theirs = (statistics.median(row[name] for row in side) for side in zip(*turns, strict=True))
            print(f"{precision}: {name} {ours:.0f} to PyTorch's {theirs:.0f}, {ours / theirs:.2f} of it")
    report(rows)


def command(path):
    """One epoch of Fashion-MNIST by the command itself, and how long its steps wait for their batches."""
    with tempfile.TemporaryDirectory() as workdir:
        flags = ["--flagfile=flags/fmnist.cfg", "--epochs=1", f"--workdir={workdir}"]
        run = subprocess.Popen(
            [sys.executable, "-m", "agad_tf.main", *flags],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(run.pid, 0)
    if status:
        raise SystemExit(f"agad_tf.main {' '.join(flags)} failed.")
    peak = usage.ru_maxrss / 1024
    print(f"Peak memory of a run of flags/fmnist.cfg: {peak:.0f} MiB")
    print(f"Waiting for input: {100 * run_child('tests.benchmarks.waiting')['share']:.2f} % of a step's time")


def measure(path, **configuration):
    """Measures one configuration, appends it to the CSV file and gives its row."""
    settings = {
        "framework": "tensorflow",
        "generator": "encoder_decoder",
        "batch_size": 256,
        "precision": "float32",
        "replicas": 1,
        "xla": 0,
        "rounds": 5,
        **configuration,
    }
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    load = os.getloadavg()[0]
    found = run_child("tests.benchmarks.measure", *arguments, f"--started={time.time()}")
    images, step = settings["batch_size"], found["step_ms"] / 1e3
    gflops = images * found["gflop_per_image"] / step
    row = {
        "date": date.today().isoformat(),
        "commit": subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip(),
        "machine": f"{os.cpu_count()} cores, {processor()}",
        "load": round(load, 1),
        **{name: value for name, value in settings.items() if name != "rounds"},
        "step_ms": found["step_ms"],
        "images_per_second": images / step,
        "gflops": gflops,
        "matmul_gflops": found["matmul_gflops"],
        "share": gflops / found["matmul_gflops"],
        "scored_per_second": images / found["score_ms"] * 1e3 if "score_ms" in found else None,
        "served_per_second": images / found["saved_model_ms"] * 1e3 if "saved_model_ms" in found else None,
        "seconds_to_first_step": found["seconds_to_first_step"],
        "peak_mib": found["peak_mib"],
    }
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if is_new:
            writer.writeheader()
        writer.writerow(row)
    return row


def run_child(module, *arguments):
    """Runs a measuring module and gives what it found."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{module} {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def report(rows):
    table = Table()
    shown = COLUMNS[COLUMNS.index("framework") :]
    for name in shown:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(to_text(row[name]) for name in shown))
    Console(width=200).print(table)


def to_text(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.2f}" if value < 10 else f"{value:.0f}"
    return str(value)


if __name__ == "__main__":
    main()
