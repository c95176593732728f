"""The segmentation network: classifies each pixel of an image as normal or abnormal, given the reconstruction."""

import keras

from agad_tf.networks.layers import as_float32, convolution, scaled_filters
from agad_tf.networks.unet_plus_plus import FILTERS, down_node, first_node, up_node


def segmenter(image_shape: tuple[int, int, int], width: float, normalization: str) -> keras.Model:
    """Builds the network, a UNet with one logit for each pixel.

    Args:
        image_shape: height, width and channels of the images in pixels; a multiple of 16 in the first two.
        width: scale of the number of filters, positive.
        normalization: one of `agad_tf.config.choices.NORMALIZATIONS`.

    Returns:
        A Keras model, float (batch, height, width, 2·channels) in [-1, 1], the image and its reconstruction, to logits,
        float32 (batch, height, width, 1): above 0 for abnormal pixels.
    """
    height, image_width, channels = image_shape
    filters = [scaled_filters(count, width) for count in FILTERS]
    pair = keras.Input((height, image_width, 2 * channels), name="image_and_reconstruction")
    skips = [first_node(pair, filters[0], normalization)]
    for count in filters[1:]:
        skips.append(down_node(skips[-1], count, normalization))
    x = skips.pop()
    for skip, count in zip(reversed(skips), reversed(filters[:-1]), strict=True):
        x = up_node(x, [skip], count, normalization)
    logits = convolution(keras.layers.ReLU()(x), 1, 1, 1, "none")  # with a bias: most pixels are normal
    return keras.Model(pair, as_float32(logits), name="segmenter")
