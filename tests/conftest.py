import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

from agad_tf.model import AGAD
from agad_tf.networks import build_discriminator, build_generator

SIZE = 16


@pytest.fixture
def build_model():
    """A function that builds the smallest AGAD there is; keyword arguments go to the constructor."""

    def build(compiled=True, normalization="batch", **options):
        keras.utils.set_random_seed(0)
        shape = (SIZE, SIZE, 1)
        model = AGAD(
            build_generator("encoder_decoder", shape, width=1 / 8, normalization=normalization, seed=1),
            build_discriminator(shape, width=1 / 8, normalization=normalization, seed=2),
            **options,
        )
        if compiled:
            # Eager steps: for one step of a tiny network, tracing would take most of the time.
            model.compile(run_eagerly=True)
        return model

    return build


@pytest.fixture
def batch():
    """Eight random images in [-1, 1] and their labels, six normal ones and two anomalies."""
    images = np.random.default_rng(0).uniform(-1, 1, (8, SIZE, SIZE, 1)).astype(np.float32)
    return images, np.array([0, 0, 1, 0, 0, 1, 0, 0], np.float32)
