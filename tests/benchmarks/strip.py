"""Draws what a detector from good images alone sees: image, restored image, error map and ground truth side by side.

    python -m tests.benchmarks.strip --output=tests/benchmarks/results/strip.png

The images are made here from a fixed seed: a woven texture, and in abnormal ones a flaw. `--recipe=own_images` learns
from the good ones. Of each kind of flaw the image of median score is drawn.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

SIDE, MARGIN, HEADER = 192, 6, 28
COLUMNS = ("image", "restored", "error map", "ground truth")
SEED = 0


def texture(random: np.random.Generator) -> np.ndarray:
    """Threads along the rows with some unevenness, float (SIDE, SIDE)."""
    threads = ndimage.gaussian_filter(random.normal(size=(SIDE, SIDE)), (0.8, 5))
    clouds = ndimage.gaussian_filter(random.normal(size=(SIDE, SIDE)), 12)
    return 128 + 28 * threads / threads.std() + 8 * clouds / clouds.std()


def scratch(image: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A bent line, two pixels wide and a little brighter."""
    canvas = Image.new("L", (SIDE, SIDE))
    (row, column), angle = random.uniform(0.3 * SIDE, 0.7 * SIDE, 2), random.uniform(0.4, 2.7)
    steps = np.linspace(-1, 1, 24) * 0.2 * SIDE
    bend = 4 * np.sin(steps / 14)
    points = zip(
        column + steps * np.cos(angle) - bend * np.sin(angle),
        row + steps * np.sin(angle) + bend * np.cos(angle),
        strict=True,
    )
    ImageDraw.Draw(canvas).line(list(points), fill=255, width=2)
    mask = np.asarray(canvas) > 0
    return np.where(mask, image + 55, image), mask


def stain(image: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A dark spot with a soft and uneven edge."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - random.uniform(0.25 * SIDE, 0.75 * SIDE, (2, 1, 1))
    uneven = ndimage.gaussian_filter(random.normal(size=(SIDE, SIDE)), 6)
    radius = np.hypot(rows, 1.6 * columns) + 4 * uneven / uneven.std()
    cover = np.clip((18 - radius) / 8, 0, 1)
    return image - 50 * cover, cover > 0.3


def wrong_threads(image: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A patch whose threads run along the columns; its brightness is usual."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - random.uniform(0.25 * SIDE, 0.75 * SIDE, (2, 1, 1))
    cover = np.clip((17 - np.maximum(abs(rows), abs(columns))) / 3, 0, 1)
    return image * (1 - cover) + texture(random).T * cover, cover > 0.5


FLAWS = (scratch, stain, wrong_threads)


def write_images(folder: Path, good: int, tested: int) -> None:
    """Images as in MVTec AD, with masks."""
    random = np.random.default_rng(SEED)
    for part, count in (("train/good", good), ("test/good", tested)):
        for number in range(count):
            _save(folder / part / f"{number:03d}.png", texture(random))
    for flaw in FLAWS:
        for number in range(tested):
            image, mask = flaw(texture(random), random)
            _save(folder / "test" / flaw.__name__ / f"{number:03d}.png", image)
            _save(folder / "ground_truth" / flaw.__name__ / f"{number:03d}_mask.png", 255.0 * mask)


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, help="PNG file that is written")
    parser.add_argument("--good", type=int, default=200, help="good images to learn from")
    parser.add_argument("--tested", type=int, default=9, help="test images of each kind")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--steps", type=int, default=100, help="of an epoch")
    parser.add_argument("--width", type=float, default=0.25, help="of the networks")
    parser.add_argument(
        "--workdir", default="", help="folder of the images and the run; by default one that is removed"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.workdir or temporary)
        write_images(folder / "images", options.good, options.tested)
        _draw(folder, options).save(options.output, optimize=True)
    print(f"{options.output}: {Path(options.output).stat().st_size / 1000:.0f} kB")


def _draw(folder: Path, options: argparse.Namespace) -> Image.Image:
    """Trains, and draws a row for each kind of flaw."""
    from agad_tf.config.experiment import ExperimentConfig
    from agad_tf.config.recipes import RECIPES
    from agad_tf.data.masks import read_masks
    from agad_tf.reporting.strip import look_at
    from agad_tf.training.images import load_images
    from agad_tf.training.restore import restore
    from agad_tf.training.run import train

    own = {"epochs": options.epochs, "steps_per_epoch": options.steps, "width": options.width, "seed": SEED}
    config = ExperimentConfig(
        dataset="folder",
        data_dir=str(folder / "images"),
        normal_class="good",
        workdir=str(folder / "run"),
        **{**RECIPES["own_images"], **own},
    )
    train(config)
    source, task = load_images(config)
    scores = pd.read_csv(folder / "run" / "scores.csv")
    places = []
    for flaw in FLAWS:
        of_kind = scores[scores["image_id"].str.startswith(f"test/{flaw.__name__}/")].sort_values("anomaly_score")
        places.append(of_kind.index[len(of_kind) // 2])
    looks = look_at(restore(config), task.test.images[np.array(places)])
    largest_error = max(look.largest_error for look in looks)
    rows = []
    for place, look in zip(places, looks, strict=True):
        mask = read_masks(source.test_masks[int(task.test.ids[place])])
        greys = (look.image[..., 0], look.reconstruction[..., 0], 255 * mask.astype(np.uint8))
        rows.append((*greys[:2], look.error / largest_error, greys[2]))
    return _sheet(rows)


def _sheet(rows: list[tuple[np.ndarray, ...]]) -> Image.Image:
    """Faces in rows below the names of their columns.

    The first half of the palette are greys, for which a face is uint8, the other half the colours of error maps, for
    which it is float in [0, 1].
    """
    from agad_tf.reporting.strip import in_colors

    step = SIDE + MARGIN
    header = Image.new("L", (len(COLUMNS) * step - MARGIN, HEADER + len(rows) * step - MARGIN), 255)
    draw, font = ImageDraw.Draw(header), ImageFont.load_default(16)
    for column, name in enumerate(COLUMNS):
        draw.text((column * step + SIDE // 2, HEADER // 2), name, 0, font, anchor="mm")
    numbers = np.asarray(header) // 2
    for row, faces in enumerate(rows):
        for column, face in enumerate(faces):
            place = np.s_[HEADER + row * step :, column * step :]
            found = face // 2 if face.dtype == np.uint8 else 128 + np.round(127 * face).astype(np.uint8)
            numbers[place][:SIDE, :SIDE] = found
    sheet = Image.fromarray(numbers, "P")
    greys = np.repeat(np.linspace(0, 255, 128).astype(np.uint8), 3)
    sheet.putpalette([*greys.tolist(), *in_colors(np.linspace(0, 1, 128), 1).ravel().tolist()])
    return sheet


if __name__ == "__main__":
    main()
