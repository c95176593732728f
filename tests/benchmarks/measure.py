"""Measures one configuration in a process of its own and prints one JSON line; `python -m tests.benchmarks` calls it.

The step is timed in turns with a matrix product of the same precision: on a machine whose clock and neighbours change
from minute to minute, the share of that product's rate is what can be compared.
"""

import argparse
import importlib.util
import json
import os
import resource
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

MATRIX_SIDE = 2048
WARM_UP = 2
WITHOUT_TORCH = (
    "PyTorch is not installed; to compare with it: pip install torch --index-url https://download.pytorch.org/whl/cpu"
)


def has_torch():
    return importlib.util.find_spec("torch") is not None


def require_torch():
    if not has_torch():
        raise SystemExit(WITHOUT_TORCH)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--framework", choices=["tensorflow", "torch"], default="tensorflow")
    parser.add_argument("--generator", default="encoder_decoder")
    parser.add_argument("--image_size", type=int, default=32)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--xla", type=int, default=0)
    parser.add_argument("--convolutions", choices=["restated", "plain"], default="restated")
    parser.add_argument("--served", type=int, default=1, help="whether scoring by a SavedModel is timed as well")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--started", type=float, default=time.time())
    options = parser.parse_args()
    functions = {"tensorflow": _tensorflow, "torch": _torch}[options.framework](options)
    functions["step"]()
    result = {"seconds_to_first_step": time.time() - options.started}
    times = _in_turns(functions, options.rounds)
    for name in ("step", "score", "saved_model"):
        if name in times:
            result[f"{name}_ms"] = 1e3 * float(np.median(times[name]))
    result["matmul_gflops"] = 2 * MATRIX_SIDE**3 / 1e9 / float(np.median(times["matmul"]))
    result["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(result))


def _in_turns(functions, rounds):
    times = {name: [] for name in functions}
    for number in range(WARM_UP + rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if number >= WARM_UP:
                times[name].append(time.perf_counter() - start)
    return times


def _images(options):
    shape = (options.batch_size, *_shape(options))
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def _shape(options):
    return options.image_size, options.image_size, 1


def _tensorflow(options):
    import tensorflow as tf

    if options.replicas > 1:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * options.replicas
        )
    from agad_tf.evaluation.thresholds import Decision
    from agad_tf.models.agad import AGAD
    from agad_tf.networks import build_discriminator, build_generator
    from agad_tf.serving.saved_model import export_saved_model
    from agad_tf.training.distribution import mirrored

    if options.convolutions == "plain":
        _use_plain_convolutions()
    devices = [f"CPU:{i}" for i in range(options.replicas)]
    strategy = mirrored(devices) if options.replicas > 1 else tf.distribute.get_strategy()
    policy = "float32" if options.precision == "float32" else "mixed_bfloat16"
    with strategy.scope():
        model = AGAD(
            build_generator(options.generator, _shape(options), options.width, seed=0, dtype_policy=policy),
            build_discriminator(_shape(options), options.width, seed=0, dtype_policy=policy),
        )
        model.compile(jit_compile=bool(options.xla))
    images = tf.constant(_images(options))
    dataset = tf.data.Dataset.from_tensors((images, tf.zeros(options.batch_size))).repeat()
    iterator = iter(strategy.experimental_distribute_dataset(dataset))
    model.make_train_function()
    matrix = tf.cast(tf.random.normal((MATRIX_SIDE, MATRIX_SIDE)), options.precision)
    product = tf.function(tf.matmul)
    functions = {
        "step": lambda: float(np.mean(model.train_function(iterator)["generator_loss"])),
        "matmul": lambda: product(matrix, matrix)[0, 0].numpy(),
    }
    if options.replicas == 1:
        score = tf.function(model.anomaly_score, jit_compile=bool(options.xla))
        functions["score"] = lambda: score(images).numpy()
        if options.served and not options.xla:
            raw = (images + 1) * 127.5
            with tempfile.TemporaryDirectory() as folder:
                export_saved_model(model, Decision(1.0, "", 1.0, 1.0, ""), Path(folder) / "saved_model")
                detector = tf.saved_model.load(str(Path(folder) / "saved_model"))
            functions["saved_model"] = lambda: detector.serve(raw)["score"].numpy()
    return functions


def _use_plain_convolutions():
    """Gives the layers of `agad_tf.networks.convolutions` what Keras computes in their place."""
    from keras import layers

    from agad_tf.networks import convolutions

    convolutions.Convolution.convolution_op = layers.Conv2D.convolution_op
    convolutions.TransposedConvolution.call = layers.Conv2DTranspose.call


def _torch(options):
    require_torch()
    import torch

    from tests.benchmarks.torch_peer import TorchPeer

    torch.set_num_threads(os.cpu_count() or 1)
    bfloat16 = options.precision == "bfloat16"
    peer = TorchPeer(options.generator, options.image_size, width=options.width, bfloat16=bfloat16)
    images = torch.from_numpy(_images(options)).permute(0, 3, 1, 2)  # a view in channels_last
    labels = torch.zeros(options.batch_size)
    matrix = torch.randn(MATRIX_SIDE, MATRIX_SIDE, dtype=torch.bfloat16 if bfloat16 else torch.float32)
    return {
        "step": lambda: peer.train_step(images, labels),
        "matmul": lambda: (matrix @ matrix)[0, 0].item(),
        "score": lambda: peer.score(images).sum().item(),
    }


if __name__ == "__main__":
    main()
