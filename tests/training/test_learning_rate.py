import math

import numpy as np
import pytest

from agad_tf.config.choices import LEARNING_RATE_SCHEDULES
from agad_tf.training.learning_rate import LearningRate

SHARES = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "cubic": lambda done: (1 - done) ** 3,
    "sextic": lambda done: (1 - done) ** 6,
}


@pytest.mark.parametrize("schedule", LEARNING_RATE_SCHEDULES)
def test_schedules_set_the_learning_rate_of_both_optimizers(build_model, batch, schedule):
    model = build_model()
    seen = []

    class Spy(LearningRate):
        def on_epoch_begin(self, epoch, logs=None):
            super().on_epoch_begin(epoch, logs)
            seen.append([float(o.learning_rate) for o in (model.generator_optimizer, model.discriminator_optimizer)])

    model.fit(*batch, epochs=4, verbose=0, callbacks=[Spy(0.01, schedule, 4)])
    expected = [0.01 * SHARES[schedule](epoch / 4) for epoch in range(4)]
    np.testing.assert_allclose(seen, np.stack([expected, expected], axis=1), rtol=1e-6)
