"""Trains ours and PyTorch's for a few steps from the same weights, and prints how far their losses are apart."""

import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import torch

from agad_tf.models.agad import AGAD
from agad_tf.networks import build_discriminator, build_generator
from tests.benchmarks.torch_peer import TorchPeer

STEPS = 3
SHAPE = (32, 32, 1)


def main():
    images = np.random.default_rng(0).uniform(-1, 1, (16, *SHAPE)).astype(np.float32)
    labels = np.repeat([0, 1], [12, 4]).astype(np.float32)
    model = AGAD(build_generator("encoder_decoder", SHAPE, seed=0), build_discriminator(SHAPE, seed=1))
    model.compile(jit_compile=False)
    peer = TorchPeer()
    peer.load(model)
    step = tf.function(model.train_step)
    channels_last = torch.from_numpy(images).permute(0, 3, 1, 2)
    apart = 0.0
    for _ in range(STEPS):
        model.reset_metrics()
        found = step((images, labels))
        ours = [float(found[name]) for name in ("generator_loss", "discriminator_loss")]
        theirs = peer.train_step(channels_last, torch.from_numpy(labels))
        apart = max(apart, *(abs(a / b - 1) for a, b in zip(ours, theirs, strict=True)))
    print(json.dumps({"steps": STEPS, "relative_difference": apart}))


if __name__ == "__main__":
    main()
