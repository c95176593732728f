import numpy as np

from agad_tf.networks import build_discriminator


def test_discriminator_gives_logits_and_the_features_before_its_classifier():
    network = build_discriminator((32, 32, 1))
    logits, latent = network(np.zeros((2, 32, 32, 1), np.float32))
    assert logits.shape == (2, 8, 8, 1)
    assert latent.shape == (2, 8, 8, 128)
    np.testing.assert_allclose(logits, network.get_layer("classifier")(latent), rtol=1e-5, atol=1e-6)
