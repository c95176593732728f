"""Times the three products of a convolution by TensorFlow's kernels and by XLA: `python -m tests.benchmarks.products`.

Prints GFLOP/s, in turns with a matrix product under either.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

BATCH = 256
MATRIX_SIDE = 2048
ROUNDS = 5
# Side, channels in and out, kernel, stride: the naive encoder's second and third layer, and a 3×3 of the UNets.
CONVOLUTIONS = ((16, 64, 128, 4, 2), (8, 128, 256, 4, 2), (16, 64, 64, 3, 1))


def main():
    table = Table(title="GFLOP/s, TensorFlow's kernels / XLA")
    for name in ("", "matrix product", "forward", "towards images", "towards kernel"):
        table.add_column(name, justify="right")
    for side, channels, filters, kernel, stride in CONVOLUTIONS:
        table.add_row(
            f"{side}×{side}×{channels} → {filters}, {kernel}×{kernel}",
            *(
                " / ".join(f"{flops / seconds / 1e9:.0f}" for seconds in seconds_of(function, inputs))
                for function, inputs, flops in products(side, channels, filters, kernel, stride)
            ),
        )
    Console(width=120).print(table)


def products(side, channels, filters, kernel, stride):
    images = tf.random.normal((BATCH, side, side, channels))
    weights = tf.random.normal((kernel, kernel, channels, filters))
    outputs = tf.random.normal((BATCH, side // stride, side // stride, filters))
    matrix = tf.random.normal((MATRIX_SIDE, MATRIX_SIDE))
    flops = 2.0 * np.prod(outputs.shape) * kernel * kernel * channels
    backward = {"strides": [1, stride, stride, 1], "padding": "SAME"}
    return (
        (tf.matmul, (matrix, matrix), 2.0 * MATRIX_SIDE**3),
        (lambda x, w: tf.nn.conv2d(x, w, stride, "SAME"), (images, weights), flops),
        (
            lambda w, y: tf.raw_ops.Conv2DBackpropInput(input_sizes=images.shape, filter=w, out_backprop=y, **backward),
            (weights, outputs),
            flops,
        ),
        (
            lambda x, y: tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=weights.shape, out_backprop=y, **backward
            ),
            (images, outputs),
            flops,
        ),
    )


def seconds_of(function, inputs):
    """Median seconds of TensorFlow's own kernels and of XLA, in turns."""
    compiled = [tf.function(function, jit_compile=jit_compile) for jit_compile in (False, True)]
    for call in compiled:
        call(*inputs)
    times = [[], []]
    for _ in range(ROUNDS):
        for call, found in zip(compiled, times, strict=True):
            start = time.perf_counter()
            tf.reduce_sum(call(*inputs)).numpy()
            found.append(time.perf_counter() - start)
    return [float(np.median(found)) for found in times]


if __name__ == "__main__":
    main()
