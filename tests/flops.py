"""Floating-point operations: what a training step must do, and what its graph does. Two a multiplication."""

import keras
import numpy as np
import tensorflow as tf


def forward_flops(network):
    """Of each convolution of a network, for one image."""
    counts = []
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose):
            # A transposed convolution is its convolution's gradient: its positions are those of its input.
            smaller = layer.input if isinstance(layer, keras.layers.Conv2DTranspose) else layer.output
            counts.append(2 * int(np.prod(layer.kernel.shape)) * int(np.prod(smaller.shape[1:3])))
    return counts


def least_flops(generator, discriminator):
    """Of a training step, for one image: derived in tests/benchmarks/README.md, "Floating-point work of a step"."""
    g, d = forward_flops(generator), forward_flops(discriminator)
    generator_passes = 2 * sum(g) + 2 * sum(g) + (2 * sum(g) - g[0])
    discriminator_of_image = sum(d) + sum(d) + (sum(d) - d[0])
    discriminator_of_reconstruction = sum(d) + sum(d) + sum(d) + (sum(d) - d[0])
    return generator_passes + discriminator_of_image + discriminator_of_reconstruction


def profiled_flops(model, batch_size):
    """What TensorFlow's profiler counts in the graph of a step, without what its results do not depend on."""
    step = tf.function(lambda images: model.train_step((images,)))
    graph = step.get_concrete_function(tf.TensorSpec((batch_size, *model.generator.input_shape[1:]))).graph
    needed = [tensor.op.name for tensor in graph.outputs] + [op.name for op in graph.control_outputs]
    with tf.Graph().as_default() as pruned:
        tf.graph_util.import_graph_def(
            tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(add_shapes=True), needed), name=""
        )
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    return tf.compat.v1.profiler.profile(pruned, options=options).total_float_ops
