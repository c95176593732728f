"""Scores many images with the command, and the same pixels from memory, and prints both rates and the memory.

    python -m tests.benchmarks.predicting --pictures=FOLDER --count=100000

The folder's images are linked as often as needed. The detector is the default one, trained for one epoch on a few
of them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.flags import read_config
from agad_tf.data.images_in_files import Pictures, pictures_below
from agad_tf.evaluation.scorer import Scorer
from agad_tf.training.restore import restore
from agad_tf.training.run import train

SAMPLE_SECONDS = 2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--width", type=float, default=1.0, help="of the detector's networks")
    parser.add_argument("--memory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        from_memory(options.memory, options.pictures)
        return
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        links = link(options.pictures, root / "pictures", options.count)
        run = small_run(root, links, options.width)
        began = time.monotonic()
        command = [sys.executable, "-m", "agad_tf.main", "--mode=predict", f"--workdir={run}", f"--input={links}"]
        resident = watched([*command, f"--output={root / 'out'}"])
        seconds = time.monotonic() - began
        summary = json.loads((root / "out" / "summary.json").read_text())
        memory = [sys.executable, "-m", "tests.benchmarks.predicting", f"--pictures={links}", f"--memory={run}"]
        peer = json.loads(subprocess.run(memory, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    quarters = [max(part) for part in np.array_split(resident, 4)]
    print(f"{summary['scored']} images, {seconds:.0f} s with start and end of the process")
    print(f"files: {summary['pictures_per_second']:.0f} images a second; memory: {peer['rate']:.0f}")
    print(f"ratio {summary['pictures_per_second'] / peer['rate']:.2f}")
    print(f"peak resident MiB in each quarter of the time: {', '.join(f'{part:.0f}' for part in quarters)}")


def link(folder, target, count):
    files = pictures_below(folder)
    for number in range(count):
        place = target / f"{number // 1000:04d}"
        place.mkdir(parents=True, exist_ok=True)
        file = files[number % len(files)]
        (place / f"{number:07d}{file.suffix}").symlink_to(file.resolve())
    return target


def small_run(root, links, width):
    """A detector with the size of the default one; what it has learned does not matter to speed."""
    own = root / "own"
    files = pictures_below(links)[:600]
    for number, file in enumerate(files):
        part = own / ("train/good" if number < 500 else "test/good" if number < 550 else "test/bad")
        part.mkdir(parents=True, exist_ok=True)
        (part / file.name).symlink_to(file.resolve())
    run = root / "run"
    train(ExperimentConfig(dataset="folder", data_dir=str(own), epochs=1, width=width, workdir=str(run)))
    return run


def watched(command):
    """Runs a command and samples how much memory it holds, in MiB."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    resident = []
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        sizes = [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")]
        resident += sizes
        time.sleep(SAMPLE_SECONDS)
    assert process.returncode == 0
    return resident


def from_memory(run, links):
    """The rate of scoring the pixels of a tenth of the images when they are all in memory."""
    config = read_config(run)
    files = [str(file) for file in pictures_below(links)]
    images = np.asarray(Pictures(files[: max(1, len(files) // 10)], 3, config.image_size))
    scorer = Scorer(restore(config), config.batch_size)
    scorer.per_image(images[: 4 * config.batch_size])
    began = time.monotonic()
    scorer.per_image(images)
    print(json.dumps({"rate": len(images) / (time.monotonic() - began)}))


if __name__ == "__main__":
    main()
