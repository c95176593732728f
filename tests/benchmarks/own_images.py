"""How well a detector from good images alone does on users' own images: `python -m tests.benchmarks.own_images`.

Sets are folders of `train/good`, `test/good` and `test/<defect>`. A development part is put aside: every fifth of the
training images, and every third of the abnormal test images by sorted name. `--part=development` measures on it, to
choose a recipe by; `--part=test` on all other test images, for the table.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
from PIL import Image

BATCH = 16


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder of the set")
    parser.add_argument("--part", choices=("development", "test"), default="development")
    parser.add_argument("--size", type=int, default=256, help="side in pixels that images are resized to")
    parser.add_argument("--crop", type=int, default=64, help="side in pixels of what a training step sees")
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", default="", help="file that a row is appended to")
    return parser.parse_args()


def read_parts(root: Path, development: bool, size: int) -> dict[str, np.ndarray]:
    """Images to train on, normal ones kept from the gradient, and those that are measured, float in [-1, 1]."""
    train = sorted((root / "train" / "good").iterdir())
    held_out, train = train[::5], [file for place, file in enumerate(train) if place % 5]
    good = sorted((root / "test" / "good").iterdir())
    bad = sorted(file for folder in (root / "test").iterdir() if folder.name != "good" for file in folder.iterdir())
    bad = [file for place, file in enumerate(bad) if (place % 3 == 0) is development]
    if development:
        held_out, good = held_out[::2], held_out[1::2]

    def read(files: list[Path]) -> np.ndarray:
        pixels = [np.asarray(Image.open(file).convert("RGB").resize((size, size))) for file in files]
        return np.stack(pixels).astype(np.float32) / 127.5 - 1

    parts = {
        name: read(files) for name, files in {"train": train, "held_out": held_out, "good": good, "bad": bad}.items()
    }
    if all(np.ptp(images, axis=-1).max() < 0.05 for images in parts.values()):
        return {name: images[..., :1] for name, images in parts.items()}
    return parts


def main() -> None:
    """Trains and measures, and appends a row to a CSV."""
    options = parse()

    import keras
    from sklearn.metrics import roc_auc_score

    from agad_tf.models.peak_score import combined
    from agad_tf.models.segmenting_agad import SegmentingAGAD
    from agad_tf.networks import build_discriminator, build_generator, build_segmenter

    images = read_parts(Path(options.data), options.part == "development", options.size)
    channels = images["train"].shape[-1]
    keras.utils.set_random_seed(options.seed)
    network = ((options.crop, options.crop, channels), options.width, "batch", options.seed)
    model = SegmentingAGAD(
        build_generator("unet", *network),
        build_discriminator(*network),
        build_segmenter(*network),
        scoring_shape=(options.size, options.size, channels),
        seed=options.seed,
    )
    rates = (keras.optimizers.schedules.CosineDecay(options.learning_rate, options.steps) for _ in range(3))
    optimizers = [keras.optimizers.Adam(rate, beta_1=0.5) for rate in rates]
    model.compile(*optimizers[:2], segmenter_optimizer=optimizers[2])
    began = time.monotonic()
    epochs = -(-options.steps * BATCH // len(images["train"]))
    model.fit(images["train"], batch_size=BATCH, epochs=epochs, verbose="auto")
    seconds = time.monotonic() - began
    model.adapt(images["train"], unseen=images["held_out"])
    labels = np.repeat([0, 1], [len(images["good"]), len(images["bad"])])
    parts = model.score_parts(np.concatenate([images["good"], images["bad"]]))
    row = {
        **{name: value for name, value in vars(options).items() if name not in ("csv", "data")},
        "data": Path(options.data).name,
        "auroc": roc_auc_score(labels, combined(parts)),
        **{f"auroc_{name}": roc_auc_score(labels, parts[:, place]) for place, name in enumerate(model.part_names)},
        "training_seconds": round(seconds),
    }
    print({name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()})
    if options.csv:
        fresh = not Path(options.csv).exists()
        with Path(options.csv).open("a", newline="") as file:
            writer = csv.DictWriter(file, row, lineterminator="\n")
            if fresh:
                writer.writeheader()
            writer.writerow(row)


if __name__ == "__main__":
    main()
