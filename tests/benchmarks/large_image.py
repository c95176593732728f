"""Scores one large image through a UNet and a segmenter in tiles, and prints the peak of memory and the seconds.

    python -m tests.benchmarks.large_image --height=3008 --width=4000
    python -m tests.benchmarks.large_image --height=3008 --width=4000 --tile=0    # the whole image at once

What is printed is of the process: start each measurement anew.
"""

import argparse
import os
import resource
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from agad_tf.models.network_copies import resized
from agad_tf.models.peak_score import smoothed
from agad_tf.models.tiles import TILE, in_tiles, tiling
from agad_tf.networks import build_generator, build_segmenter
from agad_tf.networks.reach import reach_of

NETWORK_SHAPE = (256, 256, 3)
NETWORK_WIDTH = 0.25


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=3008, help="in pixels, a multiple of 16")
    parser.add_argument("--width", type=int, default=4000, help="in pixels, a multiple of 16")
    parser.add_argument("--tile", type=int, default=TILE, help="largest side of a tile in pixels; 0 takes no tiles")
    options = parser.parse_args()
    size = options.height, options.width
    generator = build_generator("unet", NETWORK_SHAPE, NETWORK_WIDTH, seed=0)
    segmenter = build_segmenter(NETWORK_SHAPE, NETWORK_WIDTH, seed=1)
    tiles = tiling(size, reach_of(generator, segmenter), options.tile or max(size))
    maps_of_tile = maps_of(resized(generator, tiles.tile), resized(segmenter, tiles.tile))
    peak = tf.function(lambda images: tf.reduce_max(smoothed(in_tiles(maps_of_tile, images, tiles)), axis=(1, 2)))
    images = tf.constant(np.random.default_rng(0).random((1, *size, 3), np.float32))
    before = peak_mib()
    began = time.perf_counter()
    peak(images).numpy()
    seconds = time.perf_counter() - began
    rows, columns = tiles.counts
    print(
        f"{rows * columns} tiles of {tiles.tile[0]}×{tiles.tile[1]} pixels, margin {tiles.margin}: "
        f"peak {peak_mib():.0f} MiB, {before:.0f} of it before scoring, {seconds:.1f} s"
    )


def maps_of(generator, segmenter):
    def maps(images):
        reconstruction = generator(images, training=False)
        verdicts = segmenter(tf.concat([images, reconstruction], axis=-1), training=False)
        residuals = tf.reduce_mean(tf.abs(images - reconstruction), axis=-1, keepdims=True)
        return tf.concat([residuals, tf.sigmoid(verdicts)], axis=-1)

    return maps


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
