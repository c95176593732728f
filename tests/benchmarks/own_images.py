"""How well a detector from good images alone does on users' own images: `python -m tests.benchmarks.own_images`.

Sets are folders of `train/good`, `test/good` and `test/<defect>`, masks in `ground_truth/<defect>/<name>_mask.png`; or
an .npz file of MedMNIST, whose class 0 is normal. A development part is put aside: every fifth of the training images,
and every third of the abnormal test images by sorted name; of an .npz file its validation part. `--part development`
measures on it, to choose a recipe by; `--part test` on all other test images, for the table. Both may be given: they
share the training.

A row for each part is appended to `--csv`, unless it is there already. `auroc_local` is that of the score without its
look at the whole, `auroc_alike` that of the score by which all scales count alike, `auroc_norm` that of ‖x − x̂‖₂ from
the same networks, and `parts` has every part of the score.
"""

import argparse
import csv
import datetime
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.benchmarks.record import processor

BATCH = 16
# What an ablation gives the model in the place of the recipe.
ABLATIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "no_segmentation": {"segmenter": None},
    "no_local_anomalies": {"segmenter": None, "altered_share": 0.0},
    "one_scale": {"scales": (1,)},
    "no_light": {"light": 0.0},
    "aligned": {"aligned": "yes"},
    "not_aligned": {"aligned": "no"},
}
KEYS = ("data", "part", "ablation", "size", "crop", "width", "steps", "learning_rate", "policy", "seed")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder of the set, or .npz file")
    parser.add_argument("--part", choices=("development", "test"), nargs="+", default=["development"])
    parser.add_argument("--ablation", choices=tuple(ABLATIONS), default="none")
    parser.add_argument("--size", type=int, default=256, help="side in pixels that images are resized to")
    parser.add_argument("--crop", type=int, default=64, help="side in pixels of what a training step sees")
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    parser.add_argument("--policy", choices=("float32", "mixed_bfloat16"), default="mixed_bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="of the processor; 0 takes all")
    parser.add_argument("--commit", default="", help="that is measured, for the row")
    parser.add_argument("--csv", default="", help="file that a row is appended to, unless it has the row")
    return parser.parse_args()


def read_parts(root: Path, development: bool, size: int) -> dict[str, np.ndarray]:
    """Images to train on, normal ones kept from the gradient, and those that are measured, float in [-1, 1].

    "masks" are those of "bad", bool (images, size, size), where the set has any.
    """
    from agad_tf.data.preprocessing import to_network_range

    if root.suffix == ".npz":
        return _read_arrays(root, development, size)
    train = sorted((root / "train" / "good").iterdir())
    held_out, train = train[::5], [file for place, file in enumerate(train) if place % 5]
    good = sorted((root / "test" / "good").iterdir())
    bad = sorted(file for folder in (root / "test").iterdir() if folder.name != "good" for file in folder.iterdir())
    bad = [file for place, file in enumerate(bad) if (place % 3 == 0) is development]
    if development:
        held_out, good = held_out[::2], held_out[1::2]

    def read(files: list[Path]) -> np.ndarray:
        pixels = [np.asarray(Image.open(file).convert("RGB").resize((size, size))) for file in files]
        return to_network_range(np.stack(pixels).astype(np.float32))

    parts = {
        name: read(files) for name, files in {"train": train, "held_out": held_out, "good": good, "bad": bad}.items()
    }
    if all(np.ptp(images, axis=-1).max() < 0.05 for images in parts.values()):
        parts = {name: images[..., :1] for name, images in parts.items()}
    masks = [root / "ground_truth" / file.parent.name / f"{file.stem}_mask.png" for file in bad]
    if all(mask.exists() for mask in masks):
        nearest = Image.Resampling.NEAREST
        opened = [Image.open(mask).convert("L").resize((size, size), nearest) for mask in masks]
        parts["masks"] = np.stack([np.asarray(mask) > 0 for mask in opened])
    return parts


def _read_arrays(file: Path, development: bool, size: int) -> dict[str, np.ndarray]:
    from agad_tf.data.preprocessing import to_network_range

    arrays = np.load(file)

    def of(part: str, normal: bool) -> np.ndarray:
        images = arrays[f"{part}_images"][(arrays[f"{part}_labels"].reshape(-1) == 0) == normal]
        pixels = [
            np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)) for image in images
        ]
        return to_network_range(np.stack(pixels).reshape(len(pixels), size, size, -1).astype(np.float32))

    train, measured = of("train", True), "val" if development else "test"
    seen = np.arange(len(train)) % 5 > 0
    return {"train": train[seen], "held_out": train[~seen], "good": of(measured, True), "bad": of(measured, False)}


def pixel_baselines(parts: dict[str, np.ndarray], seed: int) -> tuple[float, float]:
    """AUROC of the baselines kNN and PCA on pixels of 64×64, by all normal images."""
    from sklearn.metrics import roc_auc_score

    from agad_tf.data.crops import at_size
    from agad_tf.data.preprocessing import to_uint8
    from agad_tf.data.splits import OneClassTask, Split
    from agad_tf.models.baselines import baseline_scores

    side = min(64, parts["good"].shape[1])

    def split(*names: str) -> Split:
        images = np.concatenate([to_uint8(at_size(parts[name], (side, side))) for name in names])
        labels = np.concatenate([np.full(len(parts[name]), int(name == "bad"), np.int32) for name in names])
        return Split(images, labels, np.arange(len(labels)))

    task = OneClassTask(split("train", "held_out"), split("held_out"), split("good", "bad"))
    knn, pca = (
        float(roc_auc_score(task.test.labels, baseline_scores(name, None, task, side, 1.0, seed)[1]))
        for name in ("knn", "pca")
    )
    return knn, pca


def is_measured(file: str, keys: dict[str, str]) -> bool:
    """Whether a CSV has a row of these keys."""
    if not file or not Path(file).exists():
        return False
    with Path(file).open() as opened:
        return any(all(row[name] == value for name, value in keys.items()) for row in csv.DictReader(opened))


def train(options: argparse.Namespace, images: np.ndarray) -> Any:
    """A model, trained on normal images, float (images, size, size, channels) in [-1, 1]."""
    import keras
    import tensorflow as tf

    from agad_tf.models.segmenting_agad import SegmentingAGAD
    from agad_tf.networks import build_discriminator, build_generator, build_segmenter

    if options.threads:
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    channels = images.shape[-1]
    keras.utils.set_random_seed(options.seed)
    network = ((options.crop, options.crop, channels), options.width, "batch", options.seed, options.policy)
    settings = {"segmenter": build_segmenter(*network), **ABLATIONS[options.ablation]}
    model = SegmentingAGAD(
        build_generator("unet", *network),
        build_discriminator(*network),
        scoring_shape=(options.size, options.size, channels),
        seed=options.seed,
        **settings,
    )
    rates = (keras.optimizers.schedules.CosineDecay(options.learning_rate, options.steps) for _ in range(3))
    optimizers = [keras.optimizers.Adam(rate, beta_1=0.5) for rate in rates]
    model.compile(*optimizers[:2], segmenter_optimizer=optimizers[2])
    batches = tf.data.Dataset.from_tensor_slices(images).shuffle(len(images), seed=options.seed).repeat().batch(BATCH)
    model.fit(batches, steps_per_epoch=options.steps, verbose=2)
    return model


def measure(model: Any, images: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
    """Learns what is usual, and measures on the part of the set that `read_parts` gives."""
    import tensorflow as tf
    from sklearn.metrics import roc_auc_score

    from agad_tf.evaluation.metrics import detection_metrics
    from agad_tf.models.peak_score import combined

    began = time.monotonic()
    model.adapt(images["train"], unseen=images["held_out"])
    measured = np.concatenate([images["good"], images["bad"]])
    labels = np.repeat([0, 1], [len(images["good"]), len(images["bad"])])
    parts = model.score_parts(measured)
    weights = np.asarray(model.peak_score.scale_weights)
    local = np.concatenate([parts[:, :-1], np.full((len(parts), 1), -1e9, np.float32)], axis=1)
    batches = [measured[start : start + BATCH] for start in range(0, len(measured), BATCH)]
    residuals = [each - model.reconstruct_and_score(tf.constant(each))[0].numpy() for each in batches]
    figures = detection_metrics(labels, np.asarray(combined(parts, weights)), seed)
    found = {name: figures[name] for name in ("auroc", "auroc_low", "auroc_high")}
    found["knn"], found["pca"] = pixel_baselines(images, seed)
    others = {
        "auroc_local": combined(local, weights),
        "auroc_alike": combined(parts, np.ones_like(weights)),
        "auroc_norm": np.concatenate([np.linalg.norm(each.reshape(len(each), -1), axis=1) for each in residuals]),
    }
    found |= {name: roc_auc_score(labels, each) for name, each in others.items()}
    found["pixel_auroc"] = float("nan")
    if "masks" in images:
        maps = np.concatenate([model.error_map(tf.constant(each)).numpy() for each in batches])
        masks = np.concatenate([np.zeros((len(images["good"]), *maps.shape[1:]), bool), images["masks"]])
        found["pixel_auroc"] = roc_auc_score(masks.reshape(-1), maps.reshape(-1))
    names = zip(model.part_names, parts.T, strict=True)
    return {
        **{name: f"{100 * value:.2f}" if np.isfinite(value) else "" for name, value in found.items()},
        "parts": " ".join(f"{name}={100 * roc_auc_score(labels, each):.1f}" for name, each in names),
        "scale_weights": " ".join(f"{each:.2f}" for each in weights),
        "good": len(images["good"]),
        "bad": len(images["bad"]),
        "scoring_seconds": round(time.monotonic() - began),
    }


def append(file: Path, row: dict[str, Any]) -> None:
    """Appends a row to a CSV."""
    fresh = not file.exists()
    with file.open("a", newline="") as opened:
        writer = csv.DictWriter(opened, row, lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def main() -> None:
    """Trains and measures, and appends a row for each part to a CSV."""
    options = parse()
    keys = {name: str(value) for name, value in vars(options).items() if name in KEYS} | {
        "data": Path(options.data).stem
    }
    rows = [{name: {**keys, "part": part}[name] for name in KEYS} for part in options.part]
    missing = [row for row in rows if not is_measured(options.csv, row)]
    if not missing:
        print(f"{options.csv} has this already: {rows}")
        return
    measured_by = {
        "commit": options.commit,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "processor": processor(),
    }
    model, seconds = None, 0.0
    for row in missing:
        images = read_parts(Path(options.data), row["part"] == "development", options.size)
        if model is None:
            began = time.monotonic()
            model = train(options, images["train"])
            seconds = time.monotonic() - began
        found = {**row, **measured_by, **measure(model, images, options.seed), "training_seconds": round(seconds)}
        print(found)
        if options.csv:
            append(Path(options.csv), found)


if __name__ == "__main__":
    main()
