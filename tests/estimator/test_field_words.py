"""The estimator speaks of its own parameters, as it has no flags."""

import numpy as np
import pytest

from agad_tf.estimator.detector import AGADDetector
from agad_tf.estimator.experiment import config_of

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 16, 16), np.uint8)
LABELS = np.array([0] * 20 + [1] * 4)


@pytest.mark.parametrize(
    ("parameters", "labels", "complaint"),
    [
        ({"min_anomalies": 32, "batch_size": 16}, LABELS, "min_anomalies=32 leaves no room .* batch_size=16"),
        ({"batch_size": 1}, LABELS, "batch_size=1 has no room"),
        ({"threshold": "f1"}, None, "threshold=f1 needs labelled anomalies, but y has none; give y with anomalies"),
        ({"width": 0}, None, "width is 0; it must be more than 0"),
        ({"residual_norm": "l2"}, None, "residual_norm is 'l2'"),
        ({"recipe": "paper", "image_size": 20}, None, "image_size is '20'"),
    ],
)
def test_what_is_wrong_is_said_in_parameters(parameters, labels, complaint):
    with pytest.raises(ValueError, match=complaint) as refused:
        AGADDetector(**parameters).fit(IMAGES, labels)
    assert "--" not in str(refused.value)


@pytest.mark.parametrize("recipe", ["paper", "own_images"])
@pytest.mark.parametrize("batch_size", [2, 16])
def test_a_small_batch_has_room_for_anomalies(recipe, batch_size):
    parameters = AGADDetector(recipe=recipe, batch_size=batch_size).get_params()
    assert config_of(parameters, gamma=0.1, seed=0).min_anomalies == max(1, batch_size // 8)
