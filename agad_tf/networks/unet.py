"""UNet: one skip connection for each level. Its nodes are those of UNet++, without the dense pathways between."""

import keras

from agad_tf.networks.layers import scaled_filters
from agad_tf.networks.unet_plus_plus import FILTERS, down_node, first_node, image_head, up_node


def unet(image_shape: tuple[int, int, int], width: float, normalization: str) -> keras.Model:
    """Builds the network.

    Args:
        image_shape: height, width and channels in pixels; a multiple of 16 in the first two.
        width: scale of the number of filters, positive.
        normalization: one of `agad_tf.config.choices.NORMALIZATIONS`.

    Returns:
        A Keras model, float (batch, height, width, channels) in [-1, 1] to the same; at 3 channels and
        width 1 about 7.76 million weights.
    """
    filters = [scaled_filters(count, width) for count in FILTERS]
    images = keras.Input(image_shape, name="images")
    skips = [first_node(images, filters[0], normalization)]
    for count in filters[1:]:
        skips.append(down_node(skips[-1], count, normalization))
    x = skips.pop()
    for skip, count in zip(reversed(skips), reversed(filters[:-1]), strict=True):
        x = up_node(x, [skip], count, normalization)
    return keras.Model(images, image_head(x, image_shape[-1], normalization), name="unet")
