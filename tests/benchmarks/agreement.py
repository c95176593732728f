"""Trains ours and PyTorch's for a few steps from the same weights, and prints how far their losses are apart.

    python -m tests.benchmarks.agreement --generators=unet --image_sizes=32,64

The first step's losses agree to the rounding. Later ones are further apart: Adam's first step moves each weight by the
learning rate, whatever its gradient, and the sign of a gradient as small as rounding is left to chance.

The last line is JSON: by generator and side in pixels the larger relative difference of both losses, step by step.
"""

import argparse
import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from agad_tf.config.choices import GENERATORS
from tests.benchmarks.measure import require_torch

STEPS = 3
NORMALS, ANOMALIES = 12, 4


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generators", default=",".join(GENERATORS))
    parser.add_argument("--image_sizes", default="32,64", help="sides in pixels")
    parser.add_argument("--width", type=float, default=1.0)
    options = parser.parse_args(arguments)
    require_torch()
    apart = {}
    for generator in options.generators.split(","):
        for size in map(int, options.image_sizes.split(",")):
            apart[f"{generator}, {size} px"] = relative_differences(generator, size, options.width)
    print(json.dumps(apart))


def relative_differences(generator, image_size, width):
    """The larger of both losses, for each step."""
    import tensorflow as tf
    import torch

    from agad_tf.models.agad import AGAD
    from agad_tf.networks import build_discriminator, build_generator
    from tests.benchmarks.torch_peer import TorchPeer

    shape = (image_size, image_size, 1)
    images = np.random.default_rng(0).uniform(-1, 1, (NORMALS + ANOMALIES, *shape)).astype(np.float32)
    labels = np.repeat([0, 1], [NORMALS, ANOMALIES]).astype(np.float32)
    model = AGAD(build_generator(generator, shape, width, seed=0), build_discriminator(shape, width, seed=1))
    model.compile(jit_compile=False)
    peer = TorchPeer(generator, image_size, width=width)
    peer.load(model)
    step = tf.function(model.train_step)
    channels_last = torch.from_numpy(images).permute(0, 3, 1, 2)
    apart = []
    for _ in range(STEPS):
        model.reset_metrics()
        found = step((images, labels))
        ours = [float(found[name]) for name in ("generator_loss", "discriminator_loss")]
        theirs = peer.train_step(channels_last, torch.from_numpy(labels))
        apart.append(max(abs(a / b - 1) for a, b in zip(ours, theirs, strict=True)))
    return apart


if __name__ == "__main__":
    main()
