"""Measures training steps and scoring, each configuration in a process of its own, and prints a table.

    python -m tests.benchmarks --quick          # how fast it is here, against PyTorch, in under three minutes
    python -m tests.benchmarks                  # PyTorch at 32 px, the grid and command: about 45 minutes on two cores
    python -m tests.benchmarks --only=command   # memory, and waiting for input, of a training run
    python -m tests.benchmarks --only=peer --image_size=32,128,256          # ours against PyTorch's, in turns
    python -m tests.benchmarks --only=convolutions --image_size=32,128,256  # restated against plain ones, in turns

The last two take about 25 and 20 minutes on two idle cores; --turns=1 takes a third. A batch has as many pixels as 256
images of 32 px: 16 images of 128 px and 4 of 256 px. Against PyTorch the UNets have a quarter of that up to 64 px, or
else they alone would take 20 minutes. Above 64 px the width is 0.25, that of the recipe own_images.

Rows are appended to results/speed.csv as they come. `gflops` is the least floating-point work of the step by the time
it took; `share` is that by the rate of a matrix product measured in turns with the step, in the same precision; `load`
is the machine's before the measurement, in which the one before has a part.
"""

import argparse
import csv
import functools
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
from tests.benchmarks.measure import WITHOUT_TORCH, has_torch
from tests.benchmarks.record import processor

ROOT = Path(__file__).parents[2]
BATCH_SIZES = (1, 16, 64, 256, 1024)
PRECISIONS = ("float32", "bfloat16")
ROWS = Path(__file__).parent / "results" / "speed.csv"
# Load above which something else is at work.
BUSY = 0.5
QUICK = {"batch_size": 64, "rounds": 3}
# Of a batch, whatever the size of its images.
PIXELS = 256 * 32**2
# Up to this side in pixels the networks have their full width.
FULL_WIDTH_SIDE = 64
OWN_IMAGES_WIDTH = 0.25
COLUMNS = (
    *("date", "commit", "machine", "load", "framework", "generator", "image_size", "width"),
    *("batch_size", "precision", "replicas", "xla", "convolutions"),
    *("step_ms", "images_per_second", "gflops", "matmul_gflops", "share"),
    *("scored_per_second", "served_per_second", "seconds_to_first_step", "peak_mib"),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the default network alone, with and without bfloat16")
    parser.add_argument("--only", choices=["grid", "peer", "command", "convolutions"])
    parser.add_argument("--csv", type=Path, default=ROWS)
    parser.add_argument("--generators", type=generators, default=list(GENERATORS), help="separated by commas")
    parser.add_argument("--image_size", type=integers, default=[32], help="sides in pixels, separated by commas")
    parser.add_argument("--width", type=float, help="of the networks; by default it goes with the size")
    parser.add_argument("--batch_size", type=int, help="against PyTorch and of convolutions; by default as above")
    parser.add_argument("--turns", type=int, default=3, help="how often both sides of a comparison are measured")
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
    parts = {"peer": peer, "grid": grid, "command": command, "convolutions": convolutions}
    for name in [options.only] if options.only else ("peer", "grid", "command"):
        parts[name](options)


def generators(text):
    names = text.split(",")
    if not set(names) <= set(GENERATORS):
        raise argparse.ArgumentTypeError(f"'{text}' should be of {', '.join(GENERATORS)}, separated by commas")
    return names


def integers(text):
    return [int(number) for number in text.split(",")]


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


def grid(options):
    """Generators at every batch size and precision; replicas and XLA at batch 256."""
    configurations = []
    for generator in options.generators:
        for precision in PRECISIONS:
            base = {"generator": generator, "precision": precision}
            # A step of UNet++ at 1024 would take half a minute and 20 GB.
            sizes = [size for size in BATCH_SIZES if size <= 256 or generator == "encoder_decoder"]
            configurations += [{**base, "batch_size": size} for size in sizes]
            configurations += [{**base, "replicas": 2}, {**base, "xla": 1}]
    report([measure(options.csv, **configuration) for configuration in tqdm(configurations, "grid")])


def peer(options):
    """Whether ours and PyTorch's compute the same, and then both in turns."""
    if not has_torch():
        raise SystemExit(WITHOUT_TORCH)
    agreement = run_child("tests.benchmarks.agreement", f"--generators={','.join(options.generators)}")
    for what, apart in agreement.items():
        print(
            f"{what}: losses of {len(apart)} steps agree to {max(apart):.0e}, of the first to {apart[0]:.0e}",
            flush=True,
        )
    settings = configurations(options)
    for setting in settings:
        if not options.batch_size and setting["generator"] != "encoder_decoder" and setting["width"] == 1:
            setting["batch_size"] //= 4
    in_turns(options, settings, {"ours": {"framework": "tensorflow"}, "PyTorch": {"framework": "torch"}})


def convolutions(options):
    """The convolutions of agad_tf/networks/convolutions.py and those of Keras, in turns."""
    in_turns(options, configurations(options), {name: {"convolutions": name} for name in ("restated", "plain")})


def configurations(options):
    """Sizes, generators and precisions, with the width and the batch that go with them."""
    return [
        {
            "generator": generator,
            "image_size": size,
            "width": options.width or (1.0 if size <= FULL_WIDTH_SIDE else OWN_IMAGES_WIDTH),
            "batch_size": options.batch_size or max(1, PIXELS // size**2),
            "precision": precision,
            "served": 0,
        }
        for size in options.image_size
        for generator in options.generators
        for precision in PRECISIONS
    ]


def in_turns(options, settings, sides):
    """Measures both sides of every setting in turns, and prints the ratios of the medians."""
    rows = []
    with tqdm(total=len(settings) * options.turns * len(sides), desc=" and ".join(sides)) as progress:
        for setting in settings:
            found = {name: [] for name in sides}
            for _ in range(options.turns):
                for name, side in sides.items():
                    found[name].append(measure(options.csv, **setting, **side))
                    progress.update()
            rows += [row for side in found.values() for row in side]
            what = "{generator}, {image_size} px, width {width:g}, batch {batch_size}, {precision}".format(**setting)
            for column in ("step_ms", "scored_per_second"):
                one, other = (statistics.median(row[column] for row in side) for side in found.values())
                both = " to ".join(f"{value:.4g} ({name})" for name, value in zip(sides, (one, other), strict=True))
                print(f"{what}: {column} {both}, ratio {one / other:.2f}", flush=True)
    report(rows)


def command(_):
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
        "image_size": 32,
        "width": 1.0,
        "batch_size": 256,
        "precision": "float32",
        "replicas": 1,
        "xla": 0,
        "convolutions": "restated",
        "served": 1,
        "rounds": 5,
        **configuration,
    }
    is_new = not path.exists()
    if not is_new and path.open().readline().rstrip().split(",") != list(COLUMNS):
        raise SystemExit(f"{path} has other columns than these rows; move it away, or give another file by --csv.")
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    load = os.getloadavg()[0]
    found = run_child("tests.benchmarks.measure", *arguments, f"--started={time.time()}")
    images, step = settings["batch_size"], found["step_ms"] / 1e3
    gflops = images * gflop_per_image(*(settings[name] for name in ("generator", "image_size", "width"))) / step
    row = {
        "date": date.today().isoformat(),
        "commit": subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip(),
        "machine": f"{os.cpu_count()} cores, {processor()}",
        "load": round(load, 1),
        **{name: value for name, value in settings.items() if name in COLUMNS},
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
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if is_new:
            writer.writeheader()
        writer.writerow(row)
    return row


@functools.cache
def gflop_per_image(generator, image_size, width):
    """The least floating-point work of a training step."""
    from agad_tf.networks import build_discriminator, build_generator
    from tests.flops import least_flops

    shape = (image_size, image_size, 1)
    return least_flops(build_generator(generator, shape, width), build_discriminator(shape, width)) / 1e9


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
