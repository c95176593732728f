"""How well a detector from good images alone does on users' own images: `python -m tests.benchmarks.own_images`.

Sets are folders of `train/good`, `test/good` and `test/<defect>`, optionally with `ground_truth/`. A development part is
put aside: every fifth of the training images, and every third of the abnormal test images by sorted name. `--part=development` measures on
it, to choose a recipe by; `--part=test` on all other test images, for the table.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
from PIL import Image


def main() -> None:
    """Trains and measures, and appends a row to a CSV."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder of the set")
    parser.add_argument("--part", choices=("development", "test"), default="development")
    parser.add_argument("--size", type=int, default=256, help="side in pixels that images are resized to")
    parser.add_argument("--crop", type=int, default=64, help="side in pixels of what a training step sees")
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", help="file that a row is appended to")
    options = parser.parse_args()

    import keras
    from sklearn.metrics import roc_auc_score

    from agad_tf.models.segmenting_agad import SegmentingAGAD
    from agad_tf.networks import build_discriminator, build_generator, build_segmenter

    began = time.monotonic()
    root = Path(options.data)
    train = sorted((root / "train" / "good").iterdir())
    held_out, train = train[::5], [file for place, file in enumerate(train) if place % 5]
    good = sorted((root / "test" / "good").iterdir())
    bad = sorted(file for folder in (root / "test").iterdir() if folder.name != "good" for file in folder.iterdir())
    development = options.part == "development"
    bad = [file for place, file in enumerate(bad) if (place % 3 == 0) is development]
    if development:
        good = held_out[1::2]
        held_out = held_out[::2]

    def read(files: list[Path]) -> np.ndarray:
        pixels = [np.asarray(Image.open(file).convert("RGB").resize((options.size, options.size))) for file in files]
        images = np.stack(pixels).astype(np.float32) / 127.5 - 1
        return images.mean(axis=-1, keepdims=True) if np.ptp(images, axis=-1).max() < 0.05 else images

    images = {
        name: read(files) for name, files in {"train": train, "held_out": held_out, "good": good, "bad": bad}.items()
    }
    channels = min(part.shape[-1] for part in images.values())
    images = {name: part[..., :channels] for name, part in images.items()}
    keras.utils.set_random_seed(options.seed)
    shape = (options.crop, options.crop, channels)
    network = (shape, options.width, "batch", options.seed)
    model = SegmentingAGAD(
        build_generator("unet", *network),
        build_discriminator(*network),
        build_segmenter(*network),
        scoring_shape=(options.size, options.size, channels),
        seed=options.seed,
    )
    schedules = (keras.optimizers.schedules.CosineDecay(options.learning_rate, options.steps) for _ in range(3))
    optimizers = [keras.optimizers.Adam(schedule, beta_1=0.5) for schedule in schedules]
    model.compile(*optimizers[:2], segmenter_optimizer=optimizers[2])
    epochs = -(-options.steps * options.batch_size // len(images["train"]))
    history = model.fit(images["train"], batch_size=options.batch_size, epochs=epochs, verbose=0).history
    trained = time.monotonic() - began
    model.adapt(images["train"], unseen=images["held_out"])
    labels = np.repeat([0, 1], [len(good), len(bad)])
    both = np.concatenate([images["good"], images["bad"]])
    maps = np.concatenate([maps for _, maps in model._with_maps(both, 16)])
    parts = np.concatenate(
        [model.peak_score.standardized_parts(both[i : i + 16], maps[i : i + 16]) for i in range(0, len(both), 16)]
    )
    row = {
        **{name: value for name, value in vars(options).items() if name != "csv"},
        "data": root.name,
        **{
            f"auroc_{name}": roc_auc_score(labels, parts[:, place])
            for place, name in enumerate(("residual", "segmentation", "whole"))
        },
        "auroc_norm": roc_auc_score(labels, np.sqrt(np.square(maps[..., 0]).sum(axis=(1, 2)))),
        "auroc": roc_auc_score(labels, parts.max(axis=1)),
        "segmentation_loss": history["segmentation_loss"][-1],
        "contextual_loss": history["contextual_loss"][-1],
        "seconds_training": round(trained),
        "seconds": round(time.monotonic() - began),
    }
    print({name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()})
    if options.csv:
        path = Path(options.csv)
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if fresh:
                writer.writeheader()
            writer.writerow(row)


if __name__ == "__main__":
    main()
