from agad_tf.training.run_warnings import run_warnings


def test_a_run_without_trouble_has_no_warnings():
    assert list(run_warnings({}, 1.0)) == []
    assert list(run_warnings({"skipped_steps": {1: 0.0, 2: 0.0}}, 1.0)) == []


def test_steps_that_were_left_out_are_counted_over_all_epochs():
    assert list(run_warnings({"skipped_steps": {1: 2.0, 2: 3.0}}, 1.0)) == [
        "5 training steps were skipped, because a loss or gradient was not finite."
    ]


def test_a_learning_rate_that_was_lowered_is_told():
    assert list(run_warnings({}, 0.1)) == ["Training diverged, and continued with 0.1 times the learning rate."]


def test_signs_of_collapse_are_those_of_the_last_epoch():
    (warning,) = run_warnings({"validation_reconstruction_spread": {1: 0.9, 3: 0.01, 2: 0.9}}, 1.0)
    assert warning.startswith("After the last epoch the generator draws nearly the same image")
    assert list(run_warnings({"validation_reconstruction_spread": {1: 0.01, 2: 0.9}}, 1.0)) == []


def test_epochs_that_a_time_budget_left_out_are_told():
    curve = {1: 0.5, 2: 0.5, 12: 0.5}
    assert list(run_warnings({"contextual_loss": curve}, 1.0)) == ["The time budget ended training in epoch 3 of 12."]
