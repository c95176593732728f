import numpy as np

from agad_tf.data.sources import Source
from tests.benchmarks.development import ANOMALIES_OF_A_CLASS, NORMALS, development_source


def test_development_images_are_training_images_that_nothing_is_trained_on():
    labels = np.repeat([0, 1, 2], 700)
    images = np.arange(2100, dtype=np.uint8).reshape(-1, 1, 1, 1) + np.zeros((1, 2, 2, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(2100) // 256  # so that no two are alike
    published = Source("digits", images, labels, np.full_like(images, 255), labels, "made")
    source = development_source(published, normal_class=1)
    assert np.bincount(source.y_test).tolist() == [ANOMALIES_OF_A_CLASS, NORMALS, ANOMALIES_OF_A_CLASS]
    parts = [set(map(bytes, part)) for part in (source.x_train, source.x_test)]
    assert parts[0].isdisjoint(parts[1])
    assert parts[0] | parts[1] == set(map(bytes, images))
