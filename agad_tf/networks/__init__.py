"""Generators and discriminator. To add a generator: one file here and its name in `config.choices.GENERATORS`."""

import math
import random
from collections.abc import Callable
from importlib import import_module

import keras

from agad_tf.config.choices import GENERATORS, NORMALIZATIONS, SIZE_MULTIPLE
from agad_tf.networks.discriminator import discriminator
from agad_tf.networks.encoder_decoder_encoder import encoder_decoder_encoder
from agad_tf.networks.initialization import initialize
from agad_tf.networks.segmenter import segmenter

Builder = Callable[[tuple[int, int, int], float, str], keras.Model]

CHANNELS = (1, 3)


def build_generator(
    name: str,
    image_shape: tuple[int, int, int] = (32, 32, 1),
    width: float = 1.0,
    normalization: str = "batch",
    seed: int | None = None,
    dtype_policy: str = "float32",
) -> keras.Model:
    """Builds a generator G with initial weights.

    Args:
        name: one of `agad_tf.config.choices.GENERATORS`.
        image_shape: height, width and channels; square, a multiple of 16 pixels, 1 or 3 channels.
        width: scale of the number of filters, positive; 1 is the paper's.
        normalization: "batch", "group", "instance" or "none".
        seed: of the initial weights; None draws one from Python's `random`.
        dtype_policy: "float32", "mixed_bfloat16" or "mixed_float16"; weights and outputs are float32 in any case.

    Returns:
        A Keras model that maps images, float (batch, height, width, channels) in [-1, 1], to their
        reconstructions, of the same shape and range.

    Raises:
        ValueError: an argument out of its range; the message says which and what is allowed.

    Example:
        >>> from agad_tf import build_generator
        >>> build_generator("unet", image_shape=(64, 64, 3), width=0.5).output_shape
        (None, 64, 64, 3)
    """
    if name not in GENERATORS:
        raise ValueError(f"Unknown generator '{name}'; choose one of {', '.join(GENERATORS)}.")
    builder = getattr(import_module(f"agad_tf.networks.{name}"), name)
    return _build(builder, image_shape, width, normalization, seed, dtype_policy)


def build_code_comparing_generator(
    image_shape: tuple[int, int, int] = (32, 32, 1),
    width: float = 1.0,
    normalization: str = "batch",
    seed: int | None = None,
    dtype_policy: str = "float32",
) -> keras.Model:
    """Builds GANomaly's generator with initial weights; arguments and errors are those of `build_generator`.

    Returns:
        A Keras model that maps images to their reconstructions, their codes and the codes of the reconstructions.
    """
    return _build(encoder_decoder_encoder, image_shape, width, normalization, seed, dtype_policy)


def build_discriminator(
    image_shape: tuple[int, int, int] = (32, 32, 1),
    width: float = 1.0,
    normalization: str = "batch",
    seed: int | None = None,
    dtype_policy: str = "float32",
) -> keras.Model:
    """Builds the discriminator D with initial weights.

    Args:
        image_shape: height, width and channels; square, a multiple of 16 pixels, 1 or 3 channels.
        width: scale of the number of filters, positive; 1 is the paper's.
        normalization: "batch", "group", "instance" or "none".
        seed: of the initial weights; None draws one from Python's `random`.
        dtype_policy: "float32", "mixed_bfloat16" or "mixed_float16"; weights and outputs are float32 in any case.

    Returns:
        A Keras model that maps images, float (batch, height, width, channels) in [-1, 1], to logits,
        float (batch, height/4, width/4, 1), and the latent embedding D_z, float
        (batch, height/4, width/4, features).

    Raises:
        ValueError: an argument out of its range; the message says which and what is allowed.
    """
    return _build(discriminator, image_shape, width, normalization, seed, dtype_policy)


def build_segmenter(
    image_shape: tuple[int, int, int] = (32, 32, 1),
    width: float = 1.0,
    normalization: str = "batch",
    seed: int | None = None,
    dtype_policy: str = "float32",
) -> keras.Model:
    """Builds the segmentation network with initial weights; arguments and errors are those of `build_generator`.

    Returns:
        A Keras model that maps an image beside its reconstruction, float (batch, height, width, 2·channels) in [-1, 1],
        to a logit for each pixel, float (batch, height, width, 1).
    """
    return _build(segmenter, image_shape, width, normalization, seed, dtype_policy)


def _build(
    builder: Builder,
    image_shape: tuple[int, int, int],
    width: float,
    normalization: str,
    seed: int | None,
    dtype_policy: str,
) -> keras.Model:
    height, image_width, channels = image_shape
    if height != image_width or height < SIZE_MULTIPLE or height % SIZE_MULTIPLE:
        raise ValueError(
            f"Images of {height}×{image_width} pixels do not fit the networks; "
            f"resize them to a square whose side is a multiple of {SIZE_MULTIPLE}, such as 32 or 64."
        )
    if channels not in CHANNELS:
        raise ValueError(f"Images have {channels} channels; convert them to 1 (grey) or 3 (RGB).")
    if not (math.isfinite(width) and width > 0):
        raise ValueError(f"Width is {width}; it must be a positive number, 1 for the paper's networks.")
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"Unknown normalization '{normalization}'; choose one of {', '.join(NORMALIZATIONS)}.")
    policy_before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype_policy)
    try:
        network = builder((height, image_width, channels), width, normalization)
    finally:
        keras.config.set_dtype_policy(policy_before)
    return initialize(network, random.randrange(2**31) if seed is None else seed)
