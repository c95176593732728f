"""Expected efficiency of training on many GPUs: a model, not a measurement. `python -m tests.benchmarks.scaling`.

A step takes its floating-point work by what a GPU sustains, and then sends its gradients around (ring all-reduce,
nothing overlapped); synchronised batch normalisation adds a small message for each of its calls, forward and backward,
which cost latency alone.
"""

import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from agad_tf.config.choices import GENERATORS
from agad_tf.networks import build_discriminator, build_generator
from agad_tf.networks.normalization import BatchNormalization
from tests.flops import least_flops

SUSTAINED = 24e12  # FLOP/s of a GPU on these small convolutions, assumed
BATCH_SIZES = (256, 32)  # images a GPU: weak scaling, and one batch of 256 among eight
GPUS = (8, 64, 512)
# Bytes/s and seconds a hop.
INTERCONNECTS = {
    "NVLink 4, 450 GB/s": (450e9, 3e-6),
    "InfiniBand NDR, 50 GB/s": (50e9, 5e-6),
    "Ethernet, 3 GB/s": (3e9, 30e-6),
}


def main():
    shape = (32, 32, 3)
    discriminator = build_discriminator(shape)
    for name in GENERATORS:
        generator = build_generator(name, shape)
        weights = 4 * sum(int(np.prod(v.shape)) for m in (generator, discriminator) for v in m.trainable_variables)
        # G and D see two batches each; D's pass of the reconstructions goes back twice, once for either loss.
        messages = 4 * normalizations(generator) + 5 * normalizations(discriminator)
        flops = least_flops(generator, discriminator)
        print(f"{name}: {flops / 1e9:.2f} GFLOP an image, {weights / 1e6:.1f} MB of gradients, {messages} messages")
        for batch_size in BATCH_SIZES:
            compute = batch_size * flops / SUSTAINED
            print(f"  {batch_size} images a GPU, {1e3 * compute:.1f} ms")
            for interconnect, (bandwidth, hop) in INTERCONNECTS.items():
                found = [compute / (compute + exchange(n, weights, messages, bandwidth, hop)) for n in GPUS]
                print(
                    f"    {interconnect:24}" + "".join(f"  {n} GPUs {e:4.0%}" for n, e in zip(GPUS, found, strict=True))
                )


def exchange(gpus, weights, messages, bandwidth, hop):
    """Seconds of a step's all-reduces."""
    return 2 * (gpus - 1) / gpus * weights / bandwidth + (messages + 2) * 2 * math.log2(gpus) * hop


def normalizations(network):
    return sum(isinstance(layer, BatchNormalization) for layer in network.layers)


if __name__ == "__main__":
    main()
