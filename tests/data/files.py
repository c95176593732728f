"""Small image files for tests."""

import numpy as np
from PIL import Image

from agad_tf.data.task import load_task


def write(root, *names, value=0, mode="RGB"):
    """Writes 4 by 4 images of one colour, each a shade brighter than the last."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((4, 4, 3), (value + number) % 256, np.uint8)
        Image.fromarray(pixels).convert(mode).save(path)


def numbered(folder, count):
    """Names of images in a folder."""
    return [f"{folder}/{number:03d}.png" for number in range(count)]


def task_of(data_dir, normal_class=0, run=None, **changes):
    """The task that a run on these files has; `run` is its folder."""
    options = {"gamma": 0.0, "anomaly_classes": (), "validation_fraction": 0.1, "seed": 0, **changes}
    return load_task(
        "folder",
        str(data_dir),
        image_size=16,
        max_megapixels=10,
        left_out=(run or data_dir) / "left_out.csv",
        pixel_range=(run or data_dir) / "pixel_range.json",
        normal_class=normal_class,
        **options,
    )
