"""Replicas on logical CPU devices: what they compute together is what one computes alone."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from agad_tf.config.errors import UsageError
from agad_tf.data.splits import Split
from agad_tf.data.training_batches import plan_batches, training_batches, training_inputs
from agad_tf.models.replicas import overflown_in_all_replicas_or_none
from agad_tf.models.step import compute_step
from agad_tf.networks.normalization import BatchNormalization
from agad_tf.training.distribution import (
    build_strategy,
    describe,
    folder_to_write,
    is_chief,
    mirrored,
    require_same_epoch,
)

STEPS = 20
EPOCHS = 5


def strategy_of(replicas):
    return tf.distribute.get_strategy() if replicas == 1 else mirrored([f"CPU:{i}" for i in range(replicas)])


@pytest.fixture(scope="module")
def train_split():
    # Of some seeds' images a step meets a kink, of ReLU or |x - x̂|, to within rounding, and ends on either side of it;
    # from there on any two ways of adding go apart by a hundredth. These meet none in twenty steps.
    images = np.random.default_rng(1).integers(0, 256, (74, 16, 16, 1), np.uint8)
    return Split(images, np.repeat([0, 1], [64, 10]).astype(np.int32), np.arange(74))


@pytest.fixture
def train(build_model, train_split):
    """A function that takes twenty steps with so many replicas; gives the model and what Keras recorded."""

    def train(replicas, jit_compile=False, **options):
        strategy = strategy_of(replicas)
        with strategy.scope():
            model = build_model(compiled=False, **options)
            # With a large epsilon steps are as long as gradients say. Adam's own would hide a gradient that is twice
            # too large, and make much of rounding in one that is nearly 0.
            model.compile(*(keras.optimizers.Adam(1e-2, 0.5, epsilon=1.0) for _ in range(2)), jit_compile=jit_compile)
        # Of 20 images 6 are anomalies: among four replicas some have one more than others.
        plan = plan_batches(train_split, 20, 6, replicas)
        inputs = training_inputs(train_split, 16)
        batches = strategy.distribute_datasets_from_function(
            lambda context: training_batches(inputs, plan, EPOCHS, 0, context=context)
        )
        assert plan.steps_per_epoch * EPOCHS == STEPS
        history = model.fit(batches, steps_per_epoch=plan.steps_per_epoch, epochs=EPOCHS, verbose=0, shuffle=False)
        return model, history.history

    return train


def assert_same_training(first, second):
    (model, history), (expected_model, expected_history) = first, second
    networks = [(model.generator, expected_model.generator), (model.discriminator, expected_model.discriminator)]
    for network, expected in networks:
        for found, wanted in zip(network.variables, expected.variables, strict=True):
            scale = np.abs(wanted.numpy()).max()
            np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=0, atol=1e-4 * scale + 1e-7)
    assert history.keys() == expected_history.keys()
    for name, values in expected_history.items():
        assert history[name] == pytest.approx(values, rel=1e-4), name


@pytest.mark.parametrize("replicas", [2, 4])
@pytest.mark.parametrize(("normalization", "jit_compile"), [("batch", False), ("group", False), ("group", True)])
def test_replicas_train_to_the_weights_of_one(train, replicas, normalization, jit_compile):
    options = {"normalization": normalization}
    assert_same_training(train(replicas, jit_compile, **options), train(1, **options))


def test_replicas_train_auxiliary_normalization_to_the_weights_of_one(train):
    options = {"pseudo_anomaly_normalization": "auxiliary"}
    found, expected = train(2, **options), train(1, **options)
    assert_same_training(found, expected)
    for own, wanted in zip(found[0]._auxiliary_weights, expected[0]._auxiliary_weights, strict=True):
        np.testing.assert_allclose(own.numpy(), wanted.numpy(), atol=1e-4)


def test_replicas_average_the_generator_as_one_does(train):
    (found, _), (expected, _) = (train(replicas, ema_momentum=0.9) for replicas in (2, 1))
    for own, wanted in zip(found.averages, expected.averages, strict=True):
        np.testing.assert_allclose(own.numpy(), wanted.numpy(), atol=1e-4)
        copies = [copy.numpy() for copy in found.distribute_strategy.experimental_local_results(own.value)]
        np.testing.assert_array_equal(*copies)


@pytest.mark.parametrize("replicas", [2, 4])
def test_the_discriminator_is_drawn_anew_in_all_replicas_at_once(train, replicas):
    options = {"reinit_threshold": 1.19}
    found, expected = train(replicas, **options), train(1, **options)
    resets = expected[1]["discriminator_resets"]
    assert 0 < sum(resets) < STEPS, "the threshold must be crossed by some steps only"
    assert_same_training(found, expected)
    for variable in found[0].discriminator.variables:
        copies = [copy.numpy() for copy in found[0].distribute_strategy.experimental_local_results(variable.value)]
        assert all(np.array_equal(copy, copies[0]) for copy in copies)


@pytest.mark.parametrize("replicas", [2, 4])
def test_replicas_compiled_by_xla_normalise_by_their_own_images(train, build_model, train_split, replicas):
    """Their gradients are those of the parts of a batch taken apart, added; their statistics are averaged."""
    plan = plan_batches(train_split, 20, 6, replicas)
    context = tf.distribute.InputContext(num_replicas_in_sync=replicas)
    parts = list(training_batches(training_inputs(train_split, 16), plan, 1, 0, context=context).take(replicas))
    alone = build_model()
    state = (alone.generator.trainable_variables, alone.discriminator.trainable_variables, alone.statistics)
    values = [[tf.convert_to_tensor(variable) for variable in variables] for variables in state]
    steps = [compute_step(alone, images, labels, 20.0, *values) for images, labels in parts]
    gradients = [tf.add_n(each) for each in zip(*(step.generator_gradients for step in steps), strict=True)]
    statistics = [tf.add_n(each) / replicas for each in zip(*(step.statistics for step in steps), strict=True)]

    strategy = strategy_of(replicas)
    with strategy.scope():
        model = build_model(compiled=False)
        model.compile(jit_compile=True)
    before = [variable.numpy() for variable in model.generator.trainable_variables]
    one_step = strategy.distribute_datasets_from_function(
        lambda context: training_batches(training_inputs(train_split, 16), plan, 1, 0, context=context).take(replicas)
    )
    model.fit(one_step, steps_per_epoch=1, verbose=0, shuffle=False)
    for found, wanted in zip(model.statistics, statistics, strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-3, atol=1e-6)
    # Adam's first step is the learning rate times the gradient's sign.
    for old, new, gradient in zip(before, model.generator.trainable_variables, gradients, strict=True):
        clear = np.abs(gradient) > 1e-3
        np.testing.assert_allclose((old - new.numpy())[clear], 2e-4 * np.sign(gradient)[clear], rtol=0.05)


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
    assert "Training on CPU, 1 replica, TensorFlow's own kernels" in describe(model)


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
