"""Users' images of a few pixels, and the options that make a run on them short."""

import numpy as np
from PIL import Image

SMALLER = (
    *("--image_size=32", "--crop_size=16", "--scales=1", "--width=0.125"),
    *("--epochs=2", "--steps_per_epoch=2", "--batch_size=16"),
)
RNG = np.random.default_rng(0)


def write_images(folder, count, odd=False):
    """Dark squares on noise; in odd ones the square is bright."""
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = RNG.integers(100, 130, (40, 48, 3), np.uint8)
        pixels[10:30, 10:30] = 250 if odd else 20
        Image.fromarray(pixels).save(folder / f"{number:03d}.jpg")
