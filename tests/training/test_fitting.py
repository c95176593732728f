"""Runs that are interrupted wherever one can be, that diverge, and that are given what no one should give them."""

import dataclasses
import json

import numpy as np
import pytest

from agad_tf.config.errors import RunError
from agad_tf.data import task as task_module
from agad_tf.data import training_inputs as pipeline
from agad_tf.files.workdir import Workdir
from agad_tf.reporting.event_files import read_curves
from agad_tf.training import fitting
from agad_tf.training import run as training
from agad_tf.training.checkpoints import Checkpoints, saved_positions
from agad_tf.training.interruption import Interruption
from agad_tf.training.learning_rate import LearningRate
from agad_tf.training.restore import restore_with_checkpoints
from tests.runs import digits_run


@pytest.fixture
def config(tmp_path):
    return digits_run(tmp_path / "run")


def left_by(config):
    """All that must be the same: weights, optimizers, counts, scores and figures."""
    workdir = Workdir(config.folder)
    model, checkpoints = restore_with_checkpoints(config, (16, 16, 1))
    variables = [*model.weights, *model.generator_optimizer.variables, *model.discriminator_optimizer.variables]
    return (
        [variable.numpy() for variable in variables],
        workdir.scores.read_text(),
        json.loads(workdir.results.read_text())["protocols"],
        read_curves(workdir.tensorboard),
        tuple(checkpoints.position),
    )


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """What an unbroken run leaves."""
    config = digits_run(tmp_path_factory.mktemp("unbroken") / "run")
    training.train(config)
    return left_by(config)


def interrupt_at(monkeypatch, count):
    """Asks the run to stop when it looks for the so-manieth time whether it should."""
    polls = iter(range(1, 10**6))
    poll = Interruption.poll

    def asked(self):
        self.requested = next(polls) == count
        poll(self)

    monkeypatch.setattr(Interruption, "poll", asked)


# An epoch polls after each of its 5 steps, before each of the batches that it scores, and at its end.
@pytest.mark.parametrize("count", [2, *(pytest.param(count, marks=pytest.mark.slow) for count in (5, 8)), 28])
def test_a_run_interrupted_anywhere_is_gone_on_with_to_the_bit(config, unbroken, monkeypatch, capsys, count):
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        interrupt_at(patched, count)
        training.train(config)
    capsys.readouterr()
    training.train(config)
    assert "Continuing after epoch" in capsys.readouterr().out
    for found, expected in zip(left_by(config)[0], unbroken[0], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert left_by(config)[1:] == unbroken[1:]


def test_images_are_read_once_though_a_run_goes_on_in_the_middle_of_an_epoch(config, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        interrupt_at(patched, 2)
        training.train(config)
    reads = []
    monkeypatch.setattr(fitting, "training_inputs", lambda *args: reads.append(1) or pipeline.training_inputs(*args))
    training.train(config)
    assert len(reads) == 1


def test_a_run_goes_on_in_the_middle_of_an_epoch_though_steps_are_executed_together_now(config, unbroken, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        interrupt_at(patched, 2)
        training.train(config)
    steps = []
    on_train_batch_end = Checkpoints.on_train_batch_end

    def watch(self, batch, logs=None):
        on_train_batch_end(self, batch, logs)
        steps.append(self.position.step)

    monkeypatch.setattr(Checkpoints, "on_train_batch_end", watch)
    training.train(dataclasses.replace(config, steps_per_execution=5))
    assert max(steps) == 5, "an epoch has no more steps than that to be gone on after"
    found = left_by(config)
    assert found[-1] == (2, 0)
    for one, expected in zip(found[0], unbroken[0], strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-6)


def test_a_run_interrupted_again_and_again_ends_as_an_unbroken_one(config, unbroken, monkeypatch):
    for _ in range(100):
        try:
            with monkeypatch.context() as patched:
                interrupt_at(patched, 25)
                training.train(config)
        except KeyboardInterrupt:
            continue
        break
    for found, expected in zip(left_by(config)[0], unbroken[0], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert left_by(config)[1:] == unbroken[1:]


def test_a_run_that_diverges_goes_back_with_a_lower_learning_rate(config, monkeypatch, capsys):
    config = dataclasses.replace(config, epochs=3)
    left = [1]
    on_epoch_begin = LearningRate.on_epoch_begin

    def poison(self, epoch, logs=None):
        on_epoch_begin(self, epoch, logs)
        if epoch == 2 and left[0]:
            left[0] -= 1
            for variable in self.model.generator.trainable_variables:
                variable.assign(np.full(variable.shape, np.nan))

    monkeypatch.setattr(LearningRate, "on_epoch_begin", poison)
    training.train(config)
    said = capsys.readouterr()
    assert "Going back to after epoch 2, with a learning rate of 2e-05" in said.err
    workdir = Workdir(config.folder)
    results = json.loads(workdir.results.read_text())
    assert "Training diverged, and continued with 0.1 times the learning rate." in results["warnings"]
    assert "Warning: Training diverged" in said.out
    assert "Training diverged" in workdir.report.read_text()
    model, checkpoints = restore_with_checkpoints(config, (16, 16, 1))
    assert float(model.generator_optimizer.learning_rate) == pytest.approx(2e-5)
    assert float(checkpoints.learning_rate_scale) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "poison",
    [
        {"lambda_con": 1e38, "lambda_adv": 1e38, "lambda_adcon": 1e38},
        {"learning_rate": 1e30},
        {"learning_rate": 1e30, "gamma": 0.0},
    ],
)
def test_a_run_that_can_only_diverge_ends_in_one_sentence(config, poison):
    config = dataclasses.replace(config, **poison)
    with pytest.raises(RunError, match=r"^Training has diverged: .* even at a learning rate .*lower --learning_rate"):
        training.train(config)
    # What is there is whole.
    assert all(position.epoch < 2 for position in saved_positions(Workdir(config.folder).checkpoints))


@pytest.mark.parametrize(
    "extreme",
    [
        {"learning_rate": 1e3},
        {"lambda_adv": 0.0, "lambda_con": 0.0, "lambda_adcon": 0.0, "lambda_lat": 0.0},
        {"lambda_adv": 1e9, "lambda_con": 1e9, "lambda_adcon": 1e9, "lambda_lat": 1e9},
        {"gamma": 0.99},
        {"gamma": 0.0},
        {"gamma": 0.1, "min_anomalies": 31},
        {"batch_size": 1, "gamma": 0.0},
        {"reinit_threshold": 1e9},
        {"validation_fraction": 0.9, "batch_size": 4, "min_anomalies": 2},
    ],
)
def test_extreme_settings_end_in_figures_or_in_one_sentence(config, extreme):
    config = dataclasses.replace(config, **{"epochs": 1, **extreme})
    try:
        training.train(config)
    except (RunError, ValueError) as error:
        assert str(error).endswith(".")
        assert "\n" not in str(error)
    else:
        workdir = Workdir(config.folder)
        results = json.loads(workdir.results.read_text())
        assert 0 <= results["protocols"]["per_image"]["auroc"] <= 1
        model, _ = restore_with_checkpoints(config, (16, 16, 1))
        assert all(np.isfinite(variable.numpy()).all() for variable in model.weights)


@pytest.mark.slow
def test_a_training_set_of_one_picture_over_and_over_is_learned_from(config, monkeypatch):
    def constant(*args, **options):
        source = training_source(*args, **options)
        return dataclasses.replace(source, x_train=np.full_like(source.x_train, 7))

    training_source = task_module.load_source
    monkeypatch.setattr(task_module, "load_source", constant)
    training.train(config)
    results = json.loads(Workdir(config.folder).results.read_text())
    assert 0 <= results["protocols"]["per_image"]["auroc"] <= 1
