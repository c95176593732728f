"""Replicas on logical CPU devices: what they compute together is what one computes alone."""

import json
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from agad_tf.config.errors import UsageError
from agad_tf.data.splits import Split
from agad_tf.data.training_batches import plan_batches, training_batches
from agad_tf.data.training_inputs import training_inputs
from agad_tf.models.replicas import overflown_in_all_replicas_or_none
from agad_tf.networks.normalization import BatchNormalization
from agad_tf.training.distribution import (
    build_strategy,
    describe,
    folder_to_write,
    is_chief,
    mirrored,
    require_same_epoch,
)

STEPS = 8
EPOCHS = 2
ROUNDING = 1e-4


def strategy_of(replicas):
    return tf.distribute.get_strategy() if replicas == 1 else mirrored([f"CPU:{i}" for i in range(replicas)])


def state_of(model):
    """All that a step changes and the next one builds on: weights, statistics, averages, the optimizers' state."""
    figures = {id(variable) for metric in model.metrics for variable in metric.variables}
    variables = [*model.variables, *model.generator_optimizer.variables, *model.discriminator_optimizer.variables]
    return [variable for variable in variables if id(variable) not in figures]


def averages_of(model):
    return model.ema_generator.variables


def statistics_of(model):
    return [*model.generator.non_trainable_variables, *model.discriminator.non_trainable_variables]


def values_of(variables):
    return [variable.numpy() for variable in variables]


def put(values, model):
    for variable, value in zip(state_of(model), values, strict=True):
        variable.assign(value)


class Steps(keras.callbacks.Callback):
    """Keeps the state before and after every step, which Keras is told is an epoch.

    Args:
        states: to begin the steps from; by default each begins where the one before has ended.
    """

    def __init__(self, states=()):
        super().__init__()
        self.states = states
        self.before, self.after = [], []

    def on_epoch_begin(self, epoch, logs=None):
        if self.states:
            put(self.states[epoch], self.model)
        self.before.append(values_of(state_of(self.model)))

    def on_epoch_end(self, epoch, logs=None):
        self.after.append(values_of(state_of(self.model)))


@pytest.fixture(scope="module")
def train_split():
    images = np.random.default_rng(1).integers(0, 256, (74, 16, 16, 1), np.uint8)
    return Split(images, np.repeat([0, 1], [64, 10]).astype(np.int32), np.arange(74))


@pytest.fixture
def smooth(monkeypatch):
    """Activations and distances without kinks, for models built and trained afterwards.

    At a kink of ReLU or |x - x̂| rounding decides between two gradients, and rounding goes with the order of sums and
    with the processor. Of ten thousands of values some step meets one, sooner or later.
    """
    used = set()

    def activation(*_):
        used.add("activation")
        return keras.layers.Activation("silu")

    def absolute(x):
        used.add("distance")
        return keras.ops.sqrt(keras.ops.square(x) + 1e-4)

    monkeypatch.setattr(keras.layers, "ReLU", activation)
    for network in ("encoder_decoder", "discriminator"):
        monkeypatch.setattr(sys.modules[f"agad_tf.networks.{network}"], "LeakyReLU", activation)
    monkeypatch.setattr(keras.ops, "abs", absolute)
    yield
    assert used == {"activation", "distance"}, "networks or losses take theirs from elsewhere"


@pytest.fixture(scope="module")
def alone():
    """What one replica did by itself, by the options it did it with; all tests that compare with it share it."""
    return {}


@pytest.fixture
def train(build_model, train_split, alone, request):
    """A function that takes steps with so many replicas, each from where one replica alone had come.

    Gives the model, what Keras recorded of each step and its `Steps`; and the same of the one replica.
    """

    def run(replicas, states, settings, options):
        strategy = strategy_of(replicas)
        with strategy.scope():
            model = build_model(compiled=False, **options)
            # With a large epsilon steps are as long as gradients say. Adam's own would hide a gradient that is twice
            # too large, and make much of rounding in one that is nearly 0.
            model.compile(*(keras.optimizers.Adam(1e-2, 0.5, epsilon=1.0) for _ in range(2)), **settings)
        # Of 20 images 6 are anomalies: among four replicas some have one more than others.
        plan = plan_batches(train_split, 20, 6, replicas)
        inputs = training_inputs(train_split, 16)
        batches = strategy.distribute_datasets_from_function(
            lambda context: training_batches(inputs, plan, EPOCHS, 0, context=context)
        )
        assert plan.steps_per_epoch * EPOCHS == STEPS
        steps = Steps(states)
        history = model.fit(batches, steps_per_epoch=1, epochs=STEPS, verbose=0, shuffle=False, callbacks=[steps])
        return model, history.history, steps

    def train(replicas, jit_compile=False, **options):
        key = ("smooth" in request.fixturenames, *sorted(options.items()))
        if key not in alone:
            alone[key] = run(1, (), {"jit_compile": False}, options)
        settings = {"jit_compile": jit_compile, "synchronized_batch_norm": not jit_compile}
        return run(replicas, alone[key][2].before, settings, options), alone[key]

    return train


def assert_same(found, wanted, name=""):
    np.testing.assert_allclose(found, wanted, rtol=0, atol=ROUNDING * np.abs(wanted).max() + 1e-9, err_msg=name)


def assert_same_losses(found, expected):
    (_, history, _), (_, expected_history, _) = found, expected
    assert history.keys() == expected_history.keys()
    for name, values in expected_history.items():
        assert history[name] == pytest.approx(values, rel=ROUNDING), name


def assert_same_in_all_replicas(model):
    for variable in state_of(model):
        first, *others = model.distribute_strategy.experimental_local_results(variable.value)
        for other in others:
            np.testing.assert_array_equal(first.numpy(), other.numpy(), err_msg=variable.path)


def assert_same_steps(found, expected):
    (model, _, steps), (_, _, expected_steps) = found, expected
    paths = [variable.path for variable in state_of(model)]
    for number, (after, expected_after) in enumerate(zip(steps.after, expected_steps.after, strict=True)):
        for path, value, wanted in zip(paths, after, expected_after, strict=True):
            assert_same(value, wanted, f"{path} after step {number}")
    assert_same_losses(found, expected)
    assert_same_in_all_replicas(model)


@pytest.mark.parametrize("replicas", [2, 4])
@pytest.mark.parametrize(("normalization", "jit_compile"), [("batch", False), ("group", False), ("group", True)])
def test_a_step_of_replicas_is_the_step_of_one(train, smooth, replicas, normalization, jit_compile):
    """From the same state replicas come to the same state as one, to rounding, and record the same losses.

    That holds of weights, moving statistics, and the optimizers' momenta, which show gradients as they are. From
    different states it could not: twenty steps make a percent of a rounding.
    """
    assert_same_steps(*train(replicas, jit_compile, normalization=normalization))


def test_replicas_train_the_networks_as_they_are_like_one(train):
    """With their kinks, which losses and statistics do not show, and gradients in few places."""
    found, expected = train(2)
    assert_same_losses(found, expected)
    assert_same_in_all_replicas(found[0])
    is_statistic = [any(variable is each for each in statistics_of(found[0])) for variable in state_of(found[0])]
    for after, expected_after, before in zip(found[2].after, expected[2].after, expected[2].before, strict=True):
        moves = [[], []]
        for value, wanted, old, exact in zip(after, expected_after, before, is_statistic, strict=True):
            if exact:
                assert_same(value, wanted)
            moves[0].append((value - wanted).ravel())
            moves[1].append((wanted - old).ravel())
        difference, move = (np.linalg.norm(np.concatenate(each)) for each in moves)
        assert difference < 0.02 * move


def test_replicas_learn_auxiliary_normalization_as_one_does(train, smooth):
    assert_same_steps(*train(2, pseudo_anomaly_normalization="auxiliary"))


def test_replicas_average_the_generator_as_one_does(train, smooth):
    found, expected = train(2, ema_momentum=0.9)
    averages = {id(variable) for variable in averages_of(found[0])}
    assert len(averages) == len(found[0].generator.variables)
    assert averages <= {id(variable) for variable in state_of(found[0])}
    assert_same_steps(found, expected)


@pytest.mark.parametrize("replicas", [2, 4])
def test_the_discriminator_is_drawn_anew_in_all_replicas_at_once(train, smooth, replicas):
    found, expected = train(replicas, reinit_threshold=1.182)
    history = expected[1]
    assert 0 < sum(history["discriminator_resets"]) < STEPS, "the threshold must be crossed by some steps only"
    assert np.abs(np.subtract(history["discriminator_loss"], 1.182)).min() > 1e-4 * 1.182, "choose another one"
    assert_same_steps(found, expected)
    assert found[1]["discriminator_resets"] == history["discriminator_resets"]


@pytest.mark.parametrize(("replicas", "jit_compile"), [(2, True), (4, True), (2, "auto")])
def test_replicas_normalise_by_their_own_images(build_model, train_split, smooth, replicas, jit_compile):
    """Their step is the mean of the steps that one model takes from the same state with each part of the batch."""
    plan = plan_batches(train_split, 20, 6, replicas)
    inputs = training_inputs(train_split, 16)

    def parts(context):
        return training_batches(inputs, plan, 1, 0, context=context).take(replicas)

    # Plain gradient descent: of it alone the mean of steps is the step of the mean.
    optimizers = [keras.optimizers.SGD(1e-2), keras.optimizers.SGD(1e-2)]
    alone = build_model(compiled=False)
    alone.compile(*optimizers, run_eagerly=True, jit_compile=False)
    before, ends = values_of(state_of(alone)), []
    for part in parts(tf.distribute.InputContext(num_replicas_in_sync=replicas)):
        put(before, alone)
        alone.train_on_batch(*part)
        ends.append(values_of(state_of(alone)))
    assert len(ends) == replicas

    strategy = strategy_of(replicas)
    with strategy.scope():
        model = build_model(compiled=False)
        model.compile(keras.optimizers.SGD(1e-2), keras.optimizers.SGD(1e-2), jit_compile=jit_compile)
    one_step = strategy.distribute_datasets_from_function(parts)
    model.fit(one_step, steps_per_epoch=1, verbose=0, shuffle=False)
    for variable, old, *values in zip(state_of(model), before, *ends, strict=True):
        # Compared are moves: of most weights they are a hundredth and less.
        atol = 1e-3 * np.abs(np.mean(values, axis=0) - old).max() + 1e-7 * np.abs(old).max()
        np.testing.assert_allclose(variable.numpy(), np.mean(values, axis=0), rtol=0, atol=atol, err_msg=variable.path)
    assert_same_in_all_replicas(model)


def test_an_overflow_in_any_replica_stops_the_step_in_all():
    strategy = strategy_of(2)
    with strategy.scope():
        weights = keras.Variable([1.0, 2.0])
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1.0), initial_scale=8.0)
        optimizer.build([weights])

    @tf.function
    def step(overflowing_replica):
        def learn():
            own = tf.distribute.get_replica_context().replica_id_in_sync_group
            gradient = tf.where(tf.equal(own, overflowing_replica), float("inf"), tf.constant([8.0, 16.0]))
            optimizer.apply(overflown_in_all_replicas_or_none([gradient]), [weights])

        strategy.run(learn)

    step(tf.constant(1))
    assert optimizer.dynamic_scale.numpy() == 4.0
    np.testing.assert_array_equal(weights.numpy(), [1.0, 2.0])
    step(tf.constant(-1))
    np.testing.assert_array_equal(weights.numpy(), [1.0 - 2 * 2.0, 2.0 - 2 * 4.0])


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_step_that_is_not_finite_in_one_replica_is_taken_by_none(build_model, replicas):
    with strategy_of(replicas).scope():
        model = build_model(compiled=False)
        model.compile(jit_compile=False)
    clean = np.random.default_rng(0).uniform(-1, 1, (8, 16, 16, 1)).astype(np.float32)
    poisoned = clean.copy()
    poisoned[-1] = np.nan
    model.fit(clean, batch_size=8, verbose=0)
    state = [*model.variables, *model.generator_optimizer.variables, *model.discriminator_optimizer.variables]
    before = [variable.numpy() for variable in state]
    history = model.fit(np.concatenate([poisoned, poisoned]), batch_size=8, verbose=0, shuffle=False).history
    assert history["skipped_steps"] == [2]
    for variable, value in zip(state, before, strict=True):
        if variable.path not in {v.path for metric in model.metrics for v in metric.variables}:
            np.testing.assert_array_equal(variable.numpy(), value)
    history = model.fit(np.concatenate([poisoned, clean]), batch_size=8, verbose=0, shuffle=False).history
    assert history["skipped_steps"] == [1]
    assert all(np.isfinite(values).all() for values in history.values())
    assert all(np.isfinite(variable.numpy()).all() for variable in state)


def test_synchronised_statistics_keep_their_digits_far_from_0():
    strategy = strategy_of(2)
    images = 1000 + np.random.default_rng(0).normal(size=(8, 4, 4, 3)).astype(np.float32)
    with strategy.scope():
        layer = BatchNormalization(synchronized=True, epsilon=0.0)
        layer.build((None, 4, 4, 3))
        layer.moving_mean.assign(np.full(3, 1000.0))
    parts = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(images[4 * context.replica_id_in_sync_group :][:4])
    )

    @tf.function
    def normalize(parts):
        def outputs(part):
            with keras.StatelessScope():  # a replica by itself may not move the statistics
                return layer(part, training=True)

        return strategy.run(outputs, (parts,))

    found = np.concatenate([part.numpy() for part in strategy.experimental_local_results(normalize(parts))])
    exact = images.astype(np.float64)
    expected = (exact - exact.mean((0, 1, 2))) / exact.std((0, 1, 2))
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_several_steps_at_a_time_are_the_same_steps(build_model, train_split):
    models = []
    for steps_per_execution in (1, 4):
        model = build_model(compiled=False)
        model.compile(jit_compile=False, steps_per_execution=steps_per_execution)
        plan = plan_batches(train_split, 20, 6)
        batches = training_batches(training_inputs(train_split, 16), plan, 2, 0)
        model.fit(batches, steps_per_epoch=plan.steps_per_epoch, epochs=2, verbose=0, shuffle=False)
        models.append(model)
    for first, second in zip(*(model.generator.variables for model in models), strict=True):
        np.testing.assert_array_equal(first.numpy(), second.numpy())


def test_strategy_follows_the_flags():
    assert build_strategy("auto", ()).num_replicas_in_sync == 1
    assert build_strategy("none", ()).num_replicas_in_sync == 1
    assert isinstance(build_strategy("mirrored", ()), tf.distribute.MirroredStrategy)
    with pytest.raises(UsageError, match=r"no device GPU:7; this machine has CPU:0"):
        build_strategy("auto", ("GPU:7",))


def test_xla_is_chosen_by_the_device_that_trains_and_not_by_what_the_machine_has(build_model, monkeypatch):
    # Set before the machine has a GPU, which it must look for itself.
    on_cpu = build_strategy("auto", ("CPU:0",))
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: ["GPU:0"])
    model = build_model(compiled=False)
    model.compile()
    assert model.compiles_gradients
    assert "Training on GPU, 1 replica, compiled by XLA" in describe(model)
    with on_cpu.scope():
        model = build_model(compiled=False)
        model.compile()
    assert not model.compiles_gradients
    assert "Training on CPU, 1 replica, oneDNN kernels without XLA" in describe(model)


@pytest.mark.parametrize(("synchronized", "compiled"), [(False, True), (True, False)])
def test_replicas_on_accelerators_are_compiled_unless_they_share_statistics(
    build_model, monkeypatch, synchronized, compiled
):
    with strategy_of(2).scope():
        model = build_model(compiled=False)
        monkeypatch.setattr(type(model), "trains_on_gpu", True)
        model.compile(synchronized_batch_norm=synchronized)
    assert model.compiles_gradients is compiled
    assert ("2 replicas, synchronized batch normalization" in describe(model)) is synchronized
    with strategy_of(2).scope():
        by_groups = build_model(compiled=False, normalization="group")
        by_groups.compile(synchronized_batch_norm=synchronized)
    alone = build_model(compiled=False)
    alone.compile(synchronized_batch_norm=synchronized)
    assert by_groups.compiles_gradients
    assert alone.compiles_gradients


@pytest.mark.parametrize("cluster", [None, "no JSON", "{}", '{"cluster": {}}'])
def test_multi_worker_needs_a_cluster(monkeypatch, cluster):
    if cluster is not None:
        monkeypatch.setenv("TF_CONFIG", cluster)
    with pytest.raises(UsageError, match="TF_CONFIG"):
        build_strategy("multi_worker", ())


def test_devices_and_a_cluster_contradict_each_other(monkeypatch):
    monkeypatch.setenv(
        "TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}})
    )
    with pytest.raises(UsageError, match="leave --devices out"):
        build_strategy("auto", ("CPU:0",))
    assert build_strategy("mirrored", ("CPU:0",)).num_replicas_in_sync == 1


@pytest.mark.parametrize(
    ("jobs", "task", "expected"),
    [
        ({"worker": ["a:1", "b:1"]}, ("worker", 0), True),
        ({"worker": ["a:1", "b:1"]}, ("worker", 1), False),
        ({"chief": ["a:1"], "worker": ["b:1"]}, ("chief", 0), True),
        ({"chief": ["a:1"], "worker": ["b:1"]}, ("worker", 0), False),
    ],
)
def test_one_worker_writes(monkeypatch, tmp_path, jobs, task, expected):
    content = {"cluster": jobs, "task": {"type": task[0], "index": task[1]}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(content))
    assert is_chief("auto", ()) is expected
    with folder_to_write(tmp_path, is_chief("auto", ())) as folder:
        assert (folder == tmp_path) is expected
    assert folder.exists() is expected
    assert is_chief("none", ())


def test_replicas_that_go_on_from_the_same_epoch_may_do_so():
    require_same_epoch(strategy_of(2), 3)
    require_same_epoch(tf.distribute.get_strategy(), 0)
