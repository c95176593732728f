"""The reach of a convolutional network: the pixels around a block of its output that can change that block."""

import math
from typing import NamedTuple

import keras
from keras import layers

# Layers that compute each pixel from only that pixel. Batch normalisation does so with moving statistics.
_POINTWISE = (
    *(layers.InputLayer, layers.Activation, layers.ReLU, layers.LeakyReLU, layers.BatchNormalization),
    *(layers.Concatenate, layers.Add, layers.Dropout),
)
Interval = tuple[int, int]
"""First cell, and the one after the last, along one side of an image; it may extend beyond the image."""


class Reach(NamedTuple):
    """The reach of a network.

    Attributes:
        stride: side in pixels of the blocks at its deepest level. If an image is cut at a multiple of the stride, its
            blocks are those of the whole image.
        margin: number of pixels around a block that influence it; a multiple of the stride.
    """

    stride: int
    margin: int


def reach_of(*networks: keras.Model) -> Reach:
    """The reach of networks that are applied in sequence, in inference.

    It is computed from the kernel sizes and strides of the layers, and exact except for the rounding of the margin.

    Args:
        *networks: functional, in the order of their use, each convolutional throughout with "same" padding and square
            kernels. For a network made by `resized`, give the original network.

    Raises:
        ValueError: a layer depends on the whole image, like group normalisation, or is of an unknown kind.
    """
    stride = math.lcm(*(_stride(network) for network in networks))
    first, end = 0, stride
    for network in reversed(networks):
        first, end = _needed(network, (first, end))
    margin = max(-first, end - stride)
    return Reach(stride, stride * math.ceil(margin / stride))


def _stride(network: keras.Model) -> int:
    """Side in pixels of one cell of the deepest level."""
    if not hasattr(network, "input_shape"):
        raise ValueError(
            f"The reach of {type(network).__name__} '{network.name}' is unknown, because it is not a functional model; "
            "give a model made of keras.Input and layers."
        )
    return network.input_shape[1] // min(layer.output.shape[1] for layer in network.layers)


def _needed(network: keras.Model, outputs: Interval) -> Interval:
    """The input pixels that a network needs for an interval of its output."""
    needed = {id(network.output): outputs}
    # Layers are in topological order, so in reverse all users of a tensor come before its producer.
    for layer in reversed(network.layers):
        first, end = _needed_by(layer, needed[id(layer.output)])
        for tensor in keras.tree.flatten(layer.input):
            before = needed.get(id(tensor), (first, end))
            needed[id(tensor)] = min(before[0], first), max(before[1], end)
    return needed[id(network.input)]


def _needed_by(layer: layers.Layer, outputs: Interval) -> Interval:
    """The input cells that a layer needs for an interval of its output."""
    first, end = outputs
    if isinstance(layer, _POINTWISE):
        return outputs
    if not isinstance(layer, (layers.Conv2D, layers.Conv2DTranspose)) or layer.padding != "same":
        raise ValueError(
            f"Layer '{layer.name}' is a {type(layer).__name__}, which may depend on the whole image, so images cannot "
            "be processed in tiles; use batch or no normalisation, and convolutions with padding='same'."
        )
    stride = layer.strides[0]
    size = (layer.kernel_size[0] - 1) * layer.dilation_rate[0] + 1
    padding = max(size - stride, 0) // 2
    if isinstance(layer, layers.Conv2D):
        return first * stride - padding, (end - 1) * stride - padding + max(size, stride)
    # Cell i of the input adds to cells i·stride − padding to i·stride − padding + size − 1 of the output.
    return -(-(first + padding - size + 1) // stride), (end - 1 + padding) // stride + 1
