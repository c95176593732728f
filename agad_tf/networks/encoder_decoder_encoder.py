"""GANomaly's generator: an encoder-decoder, and a second encoder for its reconstruction."""

import keras

from agad_tf.networks.encoder_decoder import decode, encode
from agad_tf.networks.layers import as_float32


def encoder_decoder_encoder(image_shape: tuple[int, int, int], width: float, normalization: str) -> keras.Model:
    """Builds the network of the naive encoder, its decoder, and a second encoder with separate weights.

    Args:
        image_shape: height, width and channels in pixels; a multiple of 16 in the first two.
        width: scale of the number of filters and of the code's length, positive.
        normalization: one of `agad_tf.config.choices.NORMALIZATIONS`.

    Returns:
        A Keras model, float (batch, height, width, channels) in [-1, 1] to three outputs: the reconstruction x̂, of
        the same shape and range; the code z of the image and the code ẑ of x̂, float (batch, 1, 1, 100·width).
    """
    images = keras.Input(image_shape, name="images")
    code = encode(images, width, normalization)
    reconstruction = decode(code, image_shape, width, normalization)
    reconstruction_code = encode(reconstruction, width, normalization)
    outputs = [reconstruction, as_float32(code), as_float32(reconstruction_code)]
    return keras.Model(images, outputs, name="encoder_decoder_encoder")
