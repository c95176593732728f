"""Memory, file handles and graphs of hours of training and of a million images scored. Run by hand:

python -m tests.soak.memory --hours=3 --images=1000000
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

COMMAND = (sys.executable, "-m", "agad_tf.main", "--flagfile=flags/digits.cfg", "--epochs=1000000")
SAMPLE_SECONDS = 5
# The first part of a soak fills caches and pools; growth is looked for after it.
WARM_UP = 0.1
PARTS = 6


def resident_mib(process: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def file_handles(process: int) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def report(name: str, samples: list[tuple[float, int]]) -> None:
    """Prints means over equal parts of a soak, and how far the last one is from the first after warming up."""
    warm = np.array(samples[int(len(samples) * WARM_UP) :], float)
    means = [part.mean(axis=0) for part in np.array_split(warm, PARTS) if len(part)]
    print(f"{name}: MiB {', '.join(f'{mean[0]:.0f}' for mean in means)}", end="; ")
    print(f"growth {100 * (means[-1][0] / means[0][0] - 1):+.1f} %; most {warm[:, 0].max():.0f} MiB", end="; ")
    print(f"file handles {warm[:, 1].min():.0f} to {warm[:, 1].max():.0f}", flush=True)


def train(hours: float) -> None:
    """Trains in a process of its own, and ends it as a cluster would."""
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("w") as log:
        process = subprocess.Popen([*COMMAND, f"--workdir={folder}/run"], stdout=log, stderr=log)
        samples = []
        end = time.monotonic() + hours * 3600
        while time.monotonic() < end and process.poll() is None:
            time.sleep(SAMPLE_SECONDS)
            samples.append((resident_mib(process.pid), file_handles(process.pid)))
        process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        code = process.wait()
        said = Path(folder, "log").read_text()
        epochs = said.count("\nepoch ")
        print(
            f"training: {hours:g} h, {epochs} epochs; ended {time.monotonic() - asked:.1f} s after SIGTERM with {code}"
        )
        report("training", samples)


def score(count: int, batch_size: int = 256) -> None:
    """Scores images that a generator makes up, by the model and by the detector that is served."""
    import tensorflow as tf  # noqa: PLC0415

    from agad_tf.evaluation.scorer import Scorer  # noqa: PLC0415
    from agad_tf.evaluation.thresholds import Decision  # noqa: PLC0415
    from agad_tf.models.agad import AGAD  # noqa: PLC0415
    from agad_tf.networks import build_discriminator, build_generator  # noqa: PLC0415
    from agad_tf.serving.saved_model import export_saved_model  # noqa: PLC0415

    shape = (32, 32, 1)
    model = AGAD(build_generator("encoder_decoder", shape, width=0.25), build_discriminator(shape, width=0.25))
    scorer = Scorer(model, batch_size)
    with tempfile.TemporaryDirectory() as folder:
        export_saved_model(model, Decision(1.0, "given", 0.0, 1.0, "given"), Path(folder, "saved_model"))
        detector = tf.saved_model.load(f"{folder}/saved_model")

    def batches() -> Iterator[np.ndarray]:
        rng = np.random.default_rng(0)
        left = count
        while left:
            # Batches of every size up to the largest, as users send them.
            size = min(left, int(rng.integers(1, batch_size + 1)))
            yield rng.integers(0, 256, (size, *shape), np.uint8)
            left -= size

    samples = []
    for turn, images in enumerate(batches()):
        scorer.per_image(images)
        detector.serve(images)
        if turn % 20 == 0:
            samples.append((resident_mib(os.getpid()), file_handles(os.getpid())))
    traced = scorer._per_image.experimental_get_tracing_count()
    print(f"scoring: {count} images from a generator, in batches of 1 to {batch_size}; graphs traced: {traced}")
    report("scoring", samples)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--images", type=int, default=1_000_000)
    arguments = parser.parse_args()
    if arguments.images:
        score(arguments.images)
    if arguments.hours:
        train(arguments.hours)
