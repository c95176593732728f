import numpy as np

from agad_tf.evaluation.scores import reconstruction_norm


def test_score_is_the_euclidean_norm_of_the_error():
    images, reconstruction = np.random.default_rng(0).uniform(-1, 1, (2, 5, 8, 8, 3))
    expected = [np.linalg.norm((x - y).ravel()) for x, y in zip(images, reconstruction, strict=True)]
    np.testing.assert_allclose(reconstruction_norm(images, reconstruction), expected, rtol=1e-6)
