"""UNet++: every node of a level sees all nodes before it on that level, and one from the level below."""

import keras
from keras import layers

from agad_tf.networks.layers import convolution, normalize, scaled_filters, transposed_convolution

# Five levels with four halvings, as in the UNet++ publication.
FILTERS = (32, 64, 128, 256, 512)


def first_node(images: keras.KerasTensor, filters: int, normalization: str) -> keras.KerasTensor:
    """The node that reads the image: no ReLU before its first convolution, which would cut off all dark pixels."""
    x = normalize(convolution(images, filters, 3, 1, normalization), normalization)
    return _relu_convolution(x, filters, 1, normalization)


def down_node(x: keras.KerasTensor, filters: int, normalization: str) -> keras.KerasTensor:
    """ReLU, convolution and normalisation, twice; the first convolution halves the side."""
    return _relu_convolution(_relu_convolution(x, filters, 2, normalization), filters, 1, normalization)


def up_node(
    below: keras.KerasTensor, skips: list[keras.KerasTensor], filters: int, normalization: str
) -> keras.KerasTensor:
    """ReLU, transposed convolution and normalisation of the level below, joined with this level's skips."""
    x = layers.ReLU()(below)
    x = normalize(transposed_convolution(x, filters, 2, 2, normalization), normalization)
    x = layers.Concatenate()([*skips, x])
    return _relu_convolution(_relu_convolution(x, filters, 1, normalization), filters, 1, normalization)


def image_head(x: keras.KerasTensor, channels: int, normalization: str) -> keras.KerasTensor:
    """Converts the last node of the top level to an image in [-1, 1]."""
    return layers.Activation("tanh", dtype="float32")(convolution(layers.ReLU()(x), channels, 1, 1, normalization))


def unet_plus_plus(image_shape: tuple[int, int, int], width: float, normalization: str) -> keras.Model:
    """Builds the network without deep supervision: the output is that of the last node of the top level.

    Args:
        image_shape: height, width and channels in pixels; a multiple of 16 in the first two.
        width: scale of the number of filters, positive.
        normalization: one of `agad_tf.config.choices.NORMALIZATIONS`.

    Returns:
        A Keras model, float (batch, height, width, channels) in [-1, 1] to the same; at 3 channels and
        width 1 about 9.04 million weights.
    """
    filters = [scaled_filters(count, width) for count in FILTERS]
    images = keras.Input(image_shape, name="images")
    # nodes[i][j] is X^{i,j} of the publication: level i, j-th node from the left.
    nodes = [[first_node(images, filters[0], normalization)]]
    for level in range(1, len(filters)):
        nodes.append([down_node(nodes[level - 1][0], filters[level], normalization)])
    for column in range(1, len(filters)):
        for level in range(len(filters) - column):
            below = nodes[level + 1][column - 1]
            nodes[level].append(up_node(below, list(nodes[level]), filters[level], normalization))
    return keras.Model(images, image_head(nodes[0][-1], image_shape[-1], normalization), name="unet_plus_plus")


def _relu_convolution(x: keras.KerasTensor, filters: int, strides: int, normalization: str) -> keras.KerasTensor:
    return normalize(convolution(layers.ReLU()(x), filters, 3, strides, normalization), normalization)
