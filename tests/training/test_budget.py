"""Runs that end when their time is up."""

import dataclasses
import json
import sys

import numpy as np
import pytest

from agad_tf.config.errors import UsageError
from agad_tf.files.workdir import Workdir
from agad_tf.reporting.event_files import read_curves
from agad_tf.training import budget as budget_module
from agad_tf.training import run as training
from agad_tf.training.budget import Budget
from agad_tf.training.distribution import require_one_clock
from agad_tf.training.interruption import Interruption
from agad_tf.training.learning_rate import LearningRate
from agad_tf.training.progress import Progress
from agad_tf.training.restore import restore_with_checkpoints
from tests.runs import digits_run

EPOCHS = 6


class Clock:
    """A clock that the test moves on."""

    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(budget_module, "time", clock)
    return clock


@pytest.fixture
def second_a_step(clock, monkeypatch):
    """Every step takes a second of the budget's clock."""
    on_train_batch_end = Budget.on_train_batch_end

    def step(self, batch, logs=None):
        clock.now += 1
        on_train_batch_end(self, batch, logs)

    monkeypatch.setattr(Budget, "on_train_batch_end", step)


@pytest.fixture
def config(tmp_path):
    return digits_run(tmp_path / "run", epochs=EPOCHS, learning_rate_schedule="cosine", protocols=("per_image",))


def test_time_that_earlier_parts_of_a_run_took_counts(clock):
    budget = Budget(10.0, spent=4.0)
    clock.now += 2
    assert (budget.seconds_left, budget.share_spent) == (4.0, pytest.approx(0.6))
    clock.now += 9
    assert (budget.seconds_left, budget.share_spent) == (0.0, 1.0)


def test_the_learning_rate_comes_to_its_end_with_the_time(build_model, batch, clock):
    model, seen = build_model(), []

    class Spy(LearningRate):
        def on_train_batch_begin(self, step, logs=None):
            super().on_train_batch_begin(step, logs)
            seen.append([float(o.learning_rate) for o in (model.generator_optimizer, model.discriminator_optimizer)])
            clock.now += 5

    model.fit(*batch, epochs=4, verbose=0, callbacks=[Spy(0.01, "cubic", 8, Budget(20.0))])
    # The epochs alone would bring it to 5 / 8.
    np.testing.assert_allclose(seen, [[0.01 * (1 - done) ** 3] * 2 for done in (0, 0.25, 0.5, 0.75)], rtol=1e-5)


def test_a_run_whose_time_is_up_is_finished(config, second_a_step, capsys):
    training.train(config, 7.5)
    out, workdir = capsys.readouterr().out, Workdir(config.folder)
    assert f"used up after 1.60 of {EPOCHS} epochs, at step 8" in out
    results = json.loads(workdir.results.read_text())
    assert results["epochs_trained"] == 1.6
    assert f"The time budget ended training in epoch 2 of {EPOCHS}." in results["warnings"]
    model, checkpoints = restore_with_checkpoints(config, (16, 16, 1))
    assert tuple(checkpoints.position) == (EPOCHS, 0)
    assert int(model.generator_optimizer.iterations) == 8
    assert 0 < float(model.generator_optimizer.learning_rate) < 0.05 * config.learning_rate
    assert set(read_curves(workdir.tensorboard)["validation_score"]) == {1, EPOCHS}


def test_a_run_interrupted_when_its_time_is_up_is_gone_on_with_without_a_step(config, second_a_step, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        poll = Interruption.poll

        def asked(self):
            # While images are scored after the last step.
            self.requested = bool(list(Workdir(config.folder).checkpoints.glob(f"epoch-{EPOCHS - 1}-*.index")))
            poll(self)

        patched.setattr(Interruption, "poll", asked)
        training.train(config, 2.0)
    training.train(config, 2.0)
    results = json.loads(Workdir(config.folder).results.read_text())
    assert results["epochs_trained"] == 0.4


def test_a_run_that_has_time_enough_trains_all_epochs(config):
    config = dataclasses.replace(config, epochs=1)
    training.train(config, 1e6)
    results = json.loads(Workdir(config.folder).results.read_text())
    assert results["epochs_trained"] == 1
    assert not any("budget" in warning for warning in results["warnings"])


def test_the_bar_shows_what_is_left_of_the_budget(clock, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress(4, 2, budget=Budget(90.0)) as progress:
        clock.now += 10
        progress.on_train_batch_end(0)
        assert "01:20 of the budget left" in str(progress.bar)


def test_a_budget_of_several_machines_is_refused(monkeypatch):
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(UsageError, match="--budget works on one machine only"):
        require_one_clock(60.0, "auto", ())
    require_one_clock(60.0, "none", ())
