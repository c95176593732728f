"""Scores one large image with a model of the recipe `own_images`, and prints the peak of memory and the seconds.

    python -m tests.benchmarks.large_image --height=3008 --width=4000
    python -m tests.benchmarks.large_image --height=3008 --width=4000 --tile=0    # the whole image at once
    python -m tests.benchmarks.large_image --height=3008 --width=4000 --all    # with reconstruction and error map

What is printed is of the process: start each measurement anew.
"""

import argparse
import os
import resource
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from agad_tf.models.segmenting_agad import SegmentingAGAD
from agad_tf.models.tiles import TILE
from agad_tf.networks import build_discriminator, build_generator, build_segmenter

CROP = (64, 64, 3)
NETWORK_WIDTH = 0.25


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=3008, help="in pixels, a multiple of 16")
    parser.add_argument("--width", type=int, default=4000, help="in pixels, a multiple of 16")
    parser.add_argument("--tile", type=int, default=TILE, help="largest side of a tile in pixels; 0 takes no tiles")
    parser.add_argument("--all", action="store_true", help="also reconstruction and error map, as the SavedModel gives")
    options = parser.parse_args()
    size = options.height, options.width
    model = model_for(size, options.tile or max(size))
    look = tf.function(model.reconstruct_score_and_map if options.all else model.scores_of_batch)
    images = tf.constant(np.random.default_rng(0).random((1, *size, 3), np.float32))
    before = peak_mib()
    began = time.perf_counter()
    look(images)
    seconds = time.perf_counter() - began
    print(f"peak {peak_mib():.0f} MiB, {before:.0f} of it before scoring, {seconds:.1f} s")
    for scale, (height, width) in zip(model.scales, model.sizes, strict=False):
        largest = options.tile or max(size)
        print(f"scale {scale}: {height}×{width} pixels, {'in tiles' if max(height, width) > largest else 'whole'}")


def model_for(size, largest_tile):
    """A model with initial weights, whose statistics are unknown: memory and time are those of a trained one."""

    class Model(SegmentingAGAD):
        LARGEST_TILE = largest_tile

    network = (CROP, NETWORK_WIDTH, "batch", 0)
    networks = build_generator("unet", *network), build_discriminator(*network), build_segmenter(*network)
    return Model(*networks, scoring_shape=(*size, 3))


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
