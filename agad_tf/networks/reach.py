"""How far a convolutional network looks: which pixels around a block of its output can change that block."""

import math
from typing import NamedTuple

import keras
from keras import layers

# What gives each pixel by that pixel alone. Batch normalisation does so where it takes its moving statistics.
_POINTWISE = (
    *(layers.InputLayer, layers.Activation, layers.ReLU, layers.LeakyReLU, layers.BatchNormalization),
    *(layers.Concatenate, layers.Add, layers.Dropout),
)
Interval = tuple[int, int]
"""First cell, and the one after the last, along one side of an image; cells outside of the image count as well."""


class Reach(NamedTuple):
    """How far a network looks.

    Attributes:
        stride: side in pixels of the blocks of its deepest level. An image that is cut off at a multiple of the stride
            meets the same strides as the whole image.
        margin: so many pixels around a block decide on it, and none further away; a multiple of the stride.
    """

    stride: int
    margin: int


def reach_of(*networks: keras.Model) -> Reach:
    """How far networks look that are applied one after another, in inference.

    It is computed from kernel sizes and strides of the layers, and exact but for the rounding of the margin.

    Args:
        *networks: functional, in the order of their use, each convolutional throughout with "same" padding and square
            kernels. Their layers are their own: what `resized` gives is asked by the network that it was made from.

    Raises:
        ValueError: a layer looks at the whole image, as group normalisation does, or is of a kind not known here.
    """
    stride = math.lcm(*(_stride(network) for network in networks))
    first, end = 0, stride
    for network in reversed(networks):
        first, end = _needed(network, (first, end))
    margin = max(-first, end - stride)
    return Reach(stride, stride * math.ceil(margin / stride))


def _stride(network: keras.Model) -> int:
    """Side in pixels of what one cell of the deepest level stands for."""
    if not hasattr(network, "input_shape"):
        raise ValueError(
            f"The reach of {type(network).__name__} '{network.name}' is unknown, as it is no functional model; give a "
            "model made of keras.Input and layers."
        )
    return network.input_shape[1] // min(layer.output.shape[1] for layer in network.layers)


def _needed(network: keras.Model, outputs: Interval) -> Interval:
    """The pixels that a network needs to give those of an interval of its output."""
    needed = {id(network.output): outputs}
    # Layers come in the order of the data's way, so that backwards all users of a tensor come before its maker.
    for layer in reversed(network.layers):
        first, end = _needed_by(layer, needed[id(layer.output)])
        for tensor in keras.tree.flatten(layer.input):
            before = needed.get(id(tensor), (first, end))
            needed[id(tensor)] = min(before[0], first), max(before[1], end)
    return needed[id(network.input)]


def _needed_by(layer: layers.Layer, outputs: Interval) -> Interval:
    """The cells that a layer needs to give those of an interval of its output."""
    first, end = outputs
    if isinstance(layer, _POINTWISE):
        return outputs
    if not isinstance(layer, (layers.Conv2D, layers.Conv2DTranspose)) or layer.padding != "same":
        raise ValueError(
            f"Layer '{layer.name}' is a {type(layer).__name__}, which may look at the whole image, so that images can "
            "not be taken in tiles; use batch or no normalisation, and convolutions with padding='same'."
        )
    stride = layer.strides[0]
    size = (layer.kernel_size[0] - 1) * layer.dilation_rate[0] + 1
    padding = max(size - stride, 0) // 2
    if isinstance(layer, layers.Conv2D):
        return first * stride - padding, (end - 1) * stride - padding + max(size, stride)
    # Cell i of the input adds to cells i·stride − padding to i·stride − padding + size − 1 of the output.
    return -(-(first + padding - size + 1) // stride), (end - 1 + padding) // stride + 1
