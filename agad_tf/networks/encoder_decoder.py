"""The naive encoder-decoder of the paper's Table 7: a bottleneck and no skip connections."""

import keras
from keras import layers

from agad_tf.networks.layers import LeakyReLU, convolution, normalize, scaled_filters, transposed_convolution

BASE_FILTERS = 64
# At 32 pixels the filters are 64-128-256; deeper networks for larger images stop doubling here.
MAXIMUM_FILTERS = 512
CODE_LENGTH = 100
LEAK = 0.2


def encoder_decoder(image_shape: tuple[int, int, int], width: float, normalization: str) -> keras.Model:
    """Builds the network: 4×4 convolutions of stride 2 down to a code, transposed ones back up.

    The image is halved until its side would fall below 4 or is odd; a last convolution over all of the rest makes the
    code. At 32×32×3 and width 1 that is the paper's network, 2,137,728 weights.

    Args:
        image_shape: height, width and channels in pixels; a multiple of 16 in the first two.
        width: scale of the number of filters and of the code's length, positive.
        normalization: one of `agad_tf.config.choices.NORMALIZATIONS`.

    Returns:
        A Keras model, float (batch, height, width, channels) in [-1, 1] to the same.
    """
    images = keras.Input(image_shape, name="images")
    reconstruction = decode(encode(images, width, normalization), image_shape, width, normalization)
    return keras.Model(images, reconstruction, name="encoder_decoder")


def encode(images: keras.KerasTensor, width: float, normalization: str) -> keras.KerasTensor:
    """Adds an encoder: images (batch, height, width, channels) to their codes (batch, 1, 1, code length)."""
    filters, size = _filters_and_smallest_side(images.shape[1], width)
    x = LeakyReLU(LEAK)(convolution(images, filters[0], 4, 2, normalization))
    for count in filters[1:]:
        x = LeakyReLU(LEAK)(normalize(convolution(x, count, 4, 2, normalization), normalization))
    return convolution(x, scaled_filters(CODE_LENGTH, width), size, size, normalization)


def decode(
    code: keras.KerasTensor, image_shape: tuple[int, int, int], width: float, normalization: str
) -> keras.KerasTensor:
    """Adds a decoder: codes to images, float32 in [-1, 1]."""
    filters, size = _filters_and_smallest_side(image_shape[0], width)
    x = transposed_convolution(code, filters[-1], size, size, normalization)
    x = layers.ReLU()(normalize(x, normalization))
    for count in reversed(filters[:-1]):
        x = layers.ReLU()(normalize(transposed_convolution(x, count, 4, 2, normalization), normalization))
    x = transposed_convolution(x, image_shape[-1], 4, 2, normalization)
    return layers.Activation("tanh", dtype="float32")(x)


def _filters_and_smallest_side(size: int, width: float) -> tuple[list[int], int]:
    """The filters of each halving, and the side in pixels that is left."""
    filters: list[int] = []
    while size >= 8 and size % 2 == 0:
        filters.append(scaled_filters(min(BASE_FILTERS * 2 ** len(filters), MAXIMUM_FILTERS), width))
        size //= 2
    return filters, size
