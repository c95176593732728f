import numpy as np
import tensorflow as tf

from agad_tf.networks import build_generator


def test_normalization_other_than_batch_does_not_look_across_the_batch():
    images = tf.random.stateless_uniform((4, 32, 32, 1), (0, 0), -1, 1)
    for normalization in ("group", "instance", "none"):
        network = build_generator("encoder_decoder", width=1 / 8, normalization=normalization)
        together, alone = network(images, training=True)[:1], network(images[:1], training=True)
        np.testing.assert_allclose(together, alone, atol=1e-5)
