import numpy as np
import pytest

from agad_tf.training.divergence import DivergedError, Divergence


def poisoned_batches(poisoned_steps, steps):
    images = np.random.default_rng(0).uniform(-1, 1, (8 * steps, 16, 16, 1)).astype(np.float32)
    for step in poisoned_steps:
        images[8 * step] = np.nan
    return images


def test_ten_steps_in_a_row_that_are_not_finite_end_training(build_model):
    model = build_model()
    with pytest.raises(DivergedError, match="10 steps in a row"):
        model.fit(
            poisoned_batches(range(10, 20), 20), batch_size=8, shuffle=False, verbose=0, callbacks=[Divergence(20)]
        )


def test_a_single_good_step_keeps_training_going(build_model):
    model = build_model()
    poisoned = set(range(20)) - {4, 15}
    history = model.fit(
        poisoned_batches(poisoned, 20), batch_size=8, shuffle=False, verbose=0, callbacks=[Divergence(20)]
    ).history
    assert history["skipped_steps"] == [18]


def test_an_epoch_of_few_steps_is_enough_to_see_divergence(build_model):
    with pytest.raises(DivergedError, match="3 steps in a row"):
        build_model().fit(
            poisoned_batches(range(3), 3), batch_size=8, shuffle=False, verbose=0, callbacks=[Divergence(3)]
        )
