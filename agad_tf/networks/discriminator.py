"""The discriminator: classifies images as real or fake, and returns the latent embedding D_z."""

import keras

from agad_tf.networks.convolutions import Convolution
from agad_tf.networks.layers import LeakyReLU, as_float32, convolution, normalize, scaled_filters

FILTERS = (64, 128)
LEAK = 0.2


def discriminator(image_shape: tuple[int, int, int], width: float, normalization: str) -> keras.Model:
    """Builds the network: two Conv–BN–LeakyReLU blocks and a fully convolutional classifier.

    The classifier has one logit for each 4×4 neighbourhood of the feature map, so D works for images of any size;
    `agad_tf.models.losses.adversarial_loss` averages their losses over the image.

    Args:
        image_shape: height, width and channels in pixels.
        width: scale of the number of filters, positive.
        normalization: one of `agad_tf.config.choices.NORMALIZATIONS`.

    Returns:
        A Keras model, float (batch, height, width, channels) in [-1, 1] to two outputs: logits, float
        (batch, height/4, width/4, 1), and D_z, float (batch, height/4, width/4, 128·width).
    """
    images = keras.Input(image_shape, name="images")
    x = images
    for filters in FILTERS:
        x = convolution(x, scaled_filters(filters, width), 4, 2, normalization)
        x = LeakyReLU(LEAK)(normalize(x, normalization))
    logits = Convolution(1, 4, padding="same", name="classifier")(x)
    return keras.Model(images, [as_float32(logits), as_float32(x)], name="discriminator")
