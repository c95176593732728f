"""The model behaves as Keras users expect of any Keras model, or says in one sentence what to do."""

import copy
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from agad_tf.models.agad import AGAD
from agad_tf.models.network_copies import batch_normalizations
from agad_tf.training.distribution import mirrored

SHAPE = (16, 16, 1)


def in_fresh_process(program, **environment):
    """Runs a program in a process of its own; gives its output, its errors and its exit code."""
    import os  # noqa: PLC0415

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
    )
    return done.stdout.strip(), done.stderr.strip()[-1000:], done.returncode


def generator_of(*hidden, activation="tanh"):
    """A functional generator: the given layers, and a convolution to one channel."""
    images = keras.Input(SHAPE)
    x = images
    for layer in hidden:
        x = layer(x)
    return keras.Model(
        images, keras.layers.Conv2D(1, 3, padding="same", activation=activation)(x), name="own_generator"
    )


def discriminator_of(*hidden):
    """A functional discriminator: the given layers, then logits and latent embedding."""
    images = keras.Input(SHAPE)
    x = images
    for layer in hidden:
        x = layer(x)
    return keras.Model(images, [keras.layers.Conv2D(1, 3)(x), x], name="own_discriminator")


L = keras.layers


# === Saving and loading ===


@pytest.mark.parametrize("order", ["agad_tf, keras", "keras, agad_tf", "agad_tf, tensorflow, keras"])
def test_a_saved_model_loads_where_the_package_is_imported_and_nothing_else(build_model, batch, tmp_path, order):
    model = build_model()
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", batch[0])
    out, err, code = in_fresh_process(
        f"import {order}\nimport numpy as np\nmodel = keras.models.load_model({str(tmp_path / 'model.keras')!r})\n"
        f"print(*model.anomaly_score(np.load({str(tmp_path / 'images.npy')!r})).numpy())"
    )
    assert code == 0, err
    np.testing.assert_allclose([float(score) for score in out.split()], model.anomaly_score(batch[0]), rtol=1e-5)


def test_a_saved_model_loads_after_a_network_alone_was_imported(build_model, tmp_path):
    build_model().save(tmp_path / "model.keras")
    _, err, code = in_fresh_process(
        f"from agad_tf import build_generator\nimport keras\nkeras.models.load_model({str(tmp_path / 'model.keras')!r})"
    )
    assert code == 0, err


def test_importing_the_package_imports_neither_keras_nor_tensorflow():
    _, err, code = in_fresh_process("import sys, agad_tf; assert not {'keras', 'tensorflow'} & set(sys.modules)")
    assert code == 0, err


@pytest.mark.parametrize(
    "program", ["import agad_tf; agad_tf.AGAD", "import agad_tf, keras", "import agad_tf.networks"]
)
def test_another_backend_is_one_sentence(program):
    _, err, code = in_fresh_process(program, KERAS_BACKEND="jax")
    assert code == 1
    assert "needs Keras with its TensorFlow backend, but the backend is jax; set" in err.splitlines()[-1]


def test_a_command_with_another_backend_ends_with_one_sentence():
    program = "import sys; sys.argv = ['agad-tf', '--dataset=digits']; from agad_tf.main import run; run()"
    out, err, code = in_fresh_process(program, KERAS_BACKEND="torch")
    assert (out, code) == ("", 2)
    assert err.startswith("agad_tf: agad_tf needs Keras with its TensorFlow backend")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("asked", ["auto", True, False])
def test_a_file_keeps_whether_to_compile_as_it_was_asked_for(build_model, tmp_path, asked):
    model = build_model(compiled=False)
    synchronized = asked is False
    model.compile(jit_compile=asked, synchronized_batch_norm=synchronized)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_compile_config()["jit_compile"] == asked
    assert loaded.get_compile_config()["synchronized_batch_norm"] is synchronized
    assert loaded.compiles_gradients is (asked is True)


def test_clone_model_makes_a_model_of_the_same_configuration(build_model, batch):
    model = build_model(ema_momentum=0.5, seed=7)
    clone = keras.models.clone_model(model)
    assert clone.get_config()["seed"] == 7
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(clone.anomaly_score(batch[0]), model.anomaly_score(batch[0]), rtol=1e-6)


def test_export_works_straight_after_fit(build_model, batch, tmp_path):
    model = build_model()
    model.fit(*batch, verbose=0)
    model.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    served = loaded.serve(batch[0])
    np.testing.assert_allclose(served, model.predict(batch[0], verbose=0), atol=1e-5)


# === compile ===


@pytest.mark.parametrize(
    "arguments",
    [{"generator_optimizer": "adam", "discriminator_optimizer": "sgd"}, {"optimizer": "adam"}, {}],
)
def test_optimizers_are_given_as_anywhere_in_keras(build_model, batch, arguments):
    model = build_model(compiled=False)
    model.compile(**arguments)
    model.fit(*batch, verbose=0)
    names = [type(each).__name__.lower() for each in (model.generator_optimizer, model.discriminator_optimizer)]
    assert names == ["adam", arguments.get("discriminator_optimizer", "adam")]
    assert model.generator_optimizer is not model.discriminator_optimizer


def test_one_optimizer_for_both_is_an_optimizer_of_its_own_for_each(build_model, batch):
    model = build_model(compiled=False)
    model.compile(optimizer=keras.optimizers.SGD(0.125, momentum=0.5))
    model.fit(*batch, verbose=0)
    for each in (model.generator_optimizer, model.discriminator_optimizer):
        assert (float(each.learning_rate), each.momentum) == (0.125, 0.5)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"loss": "mse"}, r"compile\(loss=…\) cannot be used here: .*loss_weights"),
        ({"loss_weights": [1.0]}, r"compile\(loss_weights=…\).*constructor"),
        ({"metrics": ["accuracy"]}, r"compile\(metrics=…\).*anomaly_score"),
        ({"weighted_metrics": ["accuracy"]}, r"compile\(weighted_metrics=…\).*anomaly_score"),
        ({"metric": ["accuracy"]}, r"no argument metric\."),
        ({"jit_compile": True, "run_eagerly": True}, "give only one of them"),
        ({"jit_compile": True, "synchronized_batch_norm": True}, "cannot compile"),
        ({"optimizer": "adam", "generator_optimizer": "adam"}, "optimizer= is for both"),
        ({"optimizer": keras.optimizers.Adam(use_ema=True)}, "ema_momentum"),
        ({"steps_per_execution": "auto"}, "whole number of at least 1"),
    ],
)
def test_what_compile_cannot_use_is_refused_with_what_to_give(build_model, arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        build_model(compiled=False).compile(**arguments)


def test_one_optimizer_object_for_two_networks_is_refused(build_model):
    adam = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="give each its own"):
        build_model(compiled=False).compile(adam, adam)


def test_losses_of_float16_networks_are_scaled_unless_told_otherwise(build_model):
    model = build_model(compiled=False, dtype_policy="mixed_float16")
    for auto_scale_loss in (True, False):
        model.compile(auto_scale_loss=auto_scale_loss)
        for each in (model.generator_optimizer, model.discriminator_optimizer):
            assert isinstance(each, keras.optimizers.LossScaleOptimizer) is auto_scale_loss


def test_compile_may_come_outside_of_the_strategys_scope(build_model, batch):
    with mirrored(["CPU:0", "CPU:1"]).scope():
        model = build_model(compiled=False)
    model.compile()
    history = model.fit(*batch, batch_size=8, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_gradients_are_accumulated(build_model, batch):
    model = build_model(compiled=False)
    model.compile(*(keras.optimizers.SGD(0.5, gradient_accumulation_steps=2) for _ in range(2)))
    before = [variable.numpy() for variable in model.generator.trainable_variables]
    model.train_on_batch(*batch)
    for old, variable in zip(before, model.generator.trainable_variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())
    model.train_on_batch(*batch)
    assert any(
        not np.array_equal(old, variable.numpy())
        for old, variable in zip(before, model.generator.trainable_variables, strict=True)
    )


def test_a_global_dtype_policy_changes_no_score(build_model, batch):
    expected = build_model().anomaly_score(batch[0])
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_model()
        model.train_on_batch(*batch)
        found = build_model().anomaly_score(batch[0])
    finally:
        keras.config.set_dtype_policy(before)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_model_prints_its_summary_whether_compiled_or_not(build_model):
    lines = []
    for compiled in (False, True):
        build_model(compiled=compiled).summary(print_fn=lines.append)
    assert "encoder_decoder" in "".join(lines)


def test_a_model_that_is_not_compiled_is_saved_and_copied(build_model, batch, tmp_path):
    model = build_model(compiled=False)
    model.save(tmp_path / "model.keras")
    for again in (keras.models.load_model(tmp_path / "model.keras"), copy.deepcopy(model)):
        assert not again.compiled
        np.testing.assert_allclose(again.anomaly_score(batch[0]), model.anomaly_score(batch[0]), rtol=1e-6)


def test_whether_losses_are_scaled_is_kept_in_a_file(build_model, tmp_path):
    model = build_model(compiled=False, dtype_policy="mixed_float16")
    model.compile(auto_scale_loss=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not isinstance(loaded.generator_optimizer, keras.optimizers.LossScaleOptimizer)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_networks_of_any_precision_train_and_score(batch, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = AGAD(generator_of(L.Conv2D(4, 3, padding="same")), discriminator_of(L.Conv2D(4, 3)))
        model.compile()
        assert np.isfinite(model.fit(*batch, verbose=0).history["loss"]).all()
        assert model.anomaly_score(batch[0]).dtype == tf.float32
    finally:
        keras.config.set_dtype_policy(before)


# === Logs and callbacks ===


def test_lists_of_results_begin_with_the_loss_and_have_names(build_model, batch):
    model = build_model()
    for method in (model.train_on_batch, model.test_on_batch, lambda *data: model.evaluate(*data, verbose=0)):
        results = method(*batch)
        assert model.metrics_names[0] == "loss"
        by_name = dict(zip(model.metrics_names, results, strict=False))
        assert by_name["generator_loss"] == results[0]
    assert model.evaluate(*batch, verbose=0, return_dict=True)["loss"] == model.evaluate(*batch, verbose=0)[0]


def test_training_is_backed_up_and_gone_on_with(build_model, batch, tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    model = build_model()
    with pytest.raises(KeyboardInterrupt):
        model.fit(*batch, epochs=3, verbose=0, callbacks=[keras.callbacks.BackupAndRestore(tmp_path), Stop()])
    again = build_model()
    history = again.fit(*batch, epochs=3, verbose=0, callbacks=[keras.callbacks.BackupAndRestore(tmp_path)]).history
    assert len(history["loss"]) < 3


def test_callbacks_of_keras_find_the_loss_they_look_for(build_model, batch, tmp_path):
    model = build_model()
    callbacks = [
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True),
        # No loss is ever better by so much: training ends after the second epoch.
        keras.callbacks.EarlyStopping(min_delta=1e9, patience=1),
    ]
    history = model.fit(*batch, validation_data=batch, epochs=5, verbose=0, callbacks=callbacks).history
    assert (tmp_path / "best.keras").exists()
    assert len(history["val_loss"]) == 2
    assert history["loss"] == history["generator_loss"]
    assert history["val_loss"] == history["val_generator_loss"]


def test_replicas_log_the_losses_of_all_their_images(batch):
    def logs_of(replicas):
        strategy = tf.distribute.get_strategy() if replicas == 1 else mirrored(["CPU:0", "CPU:1"])
        with strategy.scope():
            model = AGAD(generator_of(), discriminator_of(L.Conv2D(4, 3)))
            for network in (model.generator, model.discriminator):
                for variable in network.variables:
                    variable.assign(np.full(variable.shape, 0.1))
            model.compile()
        history = model.fit(*batch, batch_size=8, validation_data=batch, verbose=0).history
        return {name: values[0] for name, values in history.items()}

    assert logs_of(2) == pytest.approx(logs_of(1), rel=1e-4)


def test_an_epoch_without_a_single_step_has_no_loss(build_model, batch, tmp_path):
    model = build_model()
    model.fit(*batch, verbose=0)
    callbacks = [keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", "loss", save_best_only=True, mode="min")]
    callbacks[0].best = 1e9
    history = model.fit(np.full_like(batch[0], np.nan), verbose=0, callbacks=callbacks).history
    assert history["skipped_steps"] == [1]
    for name in ("loss", "generator_loss", "contextual_loss", "discriminator_loss"):
        assert np.isnan(history[name]).all(), name
    assert not (tmp_path / "best.keras").exists()


def test_callbacks_move_the_learning_rates_of_both_networks(build_model, batch):
    model = build_model(compiled=False)
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(4e-3))
    model.fit(*batch, verbose=0, callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)])
    rates = [float(each.learning_rate) for each in (model.generator_optimizer, model.discriminator_optimizer)]
    assert rates == pytest.approx([5e-4, 2e-3])
    plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=1e9, mode="min")
    model.fit(*batch, epochs=2, verbose=0, callbacks=[plateau])
    rates = [float(each.learning_rate) for each in (model.generator_optimizer, model.discriminator_optimizer)]
    assert rates == pytest.approx([5e-5, 2e-4])


def test_a_learning_rate_that_follows_a_schedule_is_not_set(build_model):
    model = build_model(compiled=False)
    decay = keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.9)
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(decay))
    with pytest.raises(ValueError, match="follows a schedule"):
        model.optimizer.learning_rate = 1e-4
    assert float(model.generator_optimizer.learning_rate) == pytest.approx(1e-3)


def test_a_schedule_of_the_discriminator_goes_on_when_it_is_drawn_again(build_model, batch, tmp_path):
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0, 1, 2], [1.0, 0.5, 0.25, 0.125])
    # Every step ends with a reset.
    model = build_model(compiled=False, reinit_threshold=1e9)
    model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(schedule), run_eagerly=True)
    for expected in (1.0, 0.5, 0.25, 0.125):
        before = [variable.numpy() for variable in model.generator.trainable_variables]
        model.train_on_batch(*batch)
        assert int(model.discriminator_optimizer.iterations) == 0
        assert float(model.discriminator_optimizer.learning_rate) == expected
        assert all(np.array_equal(*pair) for pair in zip(before, model.generator.trainable_variables, strict=True))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert float(loaded.discriminator_optimizer.learning_rate) == 0.125


def test_regularizers_of_layers_are_part_of_the_losses(batch):
    def losses_of(factor):
        regularizer = keras.regularizers.L2(factor)
        generator = generator_of(keras.layers.Conv2D(4, 3, padding="same", kernel_regularizer=regularizer))
        discriminator = discriminator_of(keras.layers.Conv2D(4, 3, padding="same", kernel_regularizer=regularizer))
        for network in (generator, discriminator):
            for variable in network.variables:
                variable.assign(np.full(variable.shape, 0.1))
        model = AGAD(generator, discriminator)
        model.compile(keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0))
        found = model.evaluate(batch[0], verbose=0, return_dict=True)
        return found, model.train_on_batch(batch[0], return_dict=True), generator.layers[1].kernel.numpy()

    (evaluated, trained, kernel), (plain_evaluated, plain_trained, plain_kernel) = losses_of(0.5), losses_of(0.0)
    penalty = 0.5 * 3 * 3 * 4 * 0.1**2
    for name in ("generator_loss", "discriminator_loss", "loss"):
        assert evaluated[name] == pytest.approx(plain_evaluated[name] + penalty, rel=1e-4)
        assert trained[name] == pytest.approx(plain_trained[name] + penalty, rel=1e-4)
    # Its gradient is 2 · 0.5 · 0.1 for every weight.
    np.testing.assert_allclose(plain_kernel - kernel, 0.1, rtol=1e-2)


# === Labels ===


@pytest.mark.parametrize("wrong", [-1, 2, 0.5, np.nan])
def test_labels_other_than_0_and_1_are_refused(build_model, batch, wrong):
    model = build_model()
    labels = np.where(batch[1] == 1, wrong, 0)
    for method in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="Labels must be 0 for normal and 1 for abnormal images"):
            method(batch[0], labels, verbose=0)
    for run_eagerly in (True, False):
        model.compile(run_eagerly=run_eagerly)
        for method in (model.fit, model.evaluate):
            with pytest.raises(tf.errors.InvalidArgumentError, match="Labels must be 0 for normal and 1 for abnormal"):
                method(tf.data.Dataset.from_tensors((batch[0], labels)), verbose=0)


def test_more_than_one_label_for_an_image_is_refused(build_model, batch):
    with pytest.raises(ValueError, match=r"Labels have shape \(.*, 2\); give one number for each image"):
        build_model().fit(batch[0], np.eye(2)[batch[1].astype(int)], verbose=0)


# === Any network ===


@keras.saving.register_keras_serializable("tests")
class SubclassedGenerator(keras.Model):
    """A generator of a class of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.normalization = keras.layers.BatchNormalization()
        self.convolution = keras.layers.Conv2D(1, 3, padding="same", activation="tanh")

    def build(self, input_shape):
        self.normalization.build(input_shape)
        self.convolution.build(input_shape)

    def call(self, images, training=False):
        return self.convolution(self.normalization(images, training=training))


@keras.saving.register_keras_serializable("tests")
class SubclassedDiscriminator(keras.Model):
    """A discriminator of a class of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.features = keras.layers.Conv2D(4, 3, activation="relu")
        self.logits = keras.layers.Dense(1)

    def build(self, input_shape):
        self.features.build(input_shape)
        self.logits.build((None, 14, 14, 4))

    def call(self, images, training=False):
        latent = self.features(images)
        return self.logits(latent), latent


def subclassed(cls):
    network = cls()
    network(np.zeros((1, *SHAPE), np.float32))
    return network


L = keras.layers
NETWORKS = {
    "PReLU": lambda: (
        generator_of(L.Conv2D(4, 3, padding="same"), L.PReLU()),
        discriminator_of(L.Conv2D(4, 3), L.PReLU()),
    ),
    "spectral normalisation": lambda: (
        generator_of(L.SpectralNormalization(L.Conv2D(4, 3, padding="same"))),
        discriminator_of(L.SpectralNormalization(L.Conv2D(4, 3))),
    ),
    "separable convolution": lambda: (
        generator_of(L.SeparableConv2D(4, 3, padding="same")),
        discriminator_of(L.SeparableConv2D(4, 3), L.DepthwiseConv2D(3)),
    ),
    "dropout": lambda: (
        generator_of(L.Conv2D(4, 3, padding="same"), L.Dropout(0.5, seed=1)),
        discriminator_of(L.Conv2D(4, 3), L.Dropout(0.5, seed=2)),
    ),
    "nested normalisation": lambda: (
        generator_of(keras.Sequential([keras.Input(SHAPE), L.Conv2D(4, 3, padding="same"), L.BatchNormalization()])),
        discriminator_of(keras.Sequential([keras.Input(SHAPE), L.Conv2D(4, 3), L.BatchNormalization()])),
    ),
    "group and layer normalisation": lambda: (
        generator_of(L.Conv2D(4, 3, padding="same"), L.GroupNormalization(2)),
        discriminator_of(L.Conv2D(4, 3), L.LayerNormalization()),
    ),
    "subclassed": lambda: (subclassed(SubclassedGenerator), subclassed(SubclassedDiscriminator)),
}


@pytest.mark.parametrize("networks", NETWORKS)
@pytest.mark.parametrize("replicas", [1, 2])
def test_any_network_of_the_right_shapes_trains_resets_and_is_saved(batch, tmp_path, networks, replicas):
    strategy = tf.distribute.get_strategy() if replicas == 1 else mirrored(["CPU:0", "CPU:1"])
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = AGAD(*NETWORKS[networks](), reinit_threshold=1e9, ema_momentum=0.5)
        model.compile()
    before = [variable.numpy() for variable in model.discriminator.trainable_variables]
    history = model.fit(*batch, batch_size=8, epochs=2, verbose=0).history
    assert history["discriminator_resets"] == [1, 1]
    assert history["skipped_steps"] == [0, 0]
    assert np.isfinite(history["loss"]).all()
    after = [variable.numpy() for variable in model.discriminator.trainable_variables]
    assert any(not np.array_equal(*pair) for pair in zip(before, after, strict=True))
    scores = model.anomaly_score(batch[0])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.anomaly_score(batch[0]), scores, rtol=1e-5)


def test_a_variable_that_cannot_be_drawn_goes_back_to_its_first_value(batch, tmp_path):
    discriminator = discriminator_of(L.Conv2D(4, 3), L.PReLU(alpha_initializer=keras.initializers.Constant(0.3)))
    model = AGAD(generator_of(), discriminator, reinit_threshold=1e9)
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
    model.save(tmp_path / "model.keras")
    slopes = discriminator.layers[2].alpha
    slopes.assign(np.full(slopes.shape, 0.9))
    model.train_on_batch(*batch)
    np.testing.assert_array_equal(slopes.numpy(), np.full(slopes.shape, 0.3, np.float32))
    # As saved: what a model was loaded with is not what its discriminator began with.
    loaded = keras.models.load_model(tmp_path / "model.keras")
    alpha = loaded.discriminator.layers[2].alpha
    alpha.assign(np.full(slopes.shape, 0.9))
    loaded.train_on_batch(*batch)
    np.testing.assert_array_equal(alpha.numpy(), slopes.numpy())


def test_dropout_draws_other_units_in_every_step(batch):
    model = AGAD(*NETWORKS["dropout"]())
    # Without a learning rate only what dropout draws can change a loss.
    model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    first, second = (model.train_on_batch(*batch, return_dict=True)["contextual_loss"] for _ in range(2))
    assert first != second


def test_a_weight_that_spectral_normalisation_divides_is_kept_as_keras_keeps_it(batch):
    model = AGAD(*NETWORKS["spectral normalisation"](), reinit_threshold=0)
    layer = model.discriminator.layers[1]
    kernel = layer.layer.kernel
    kernel.assign(10 * kernel)
    model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    for _ in range(20):
        model.train_on_batch(*batch)
    assert np.linalg.norm(kernel.numpy().reshape(-1, 4), 2) == pytest.approx(1.0, rel=0.05)


def test_nested_batch_normalisation_counts_for_auxiliary_normalisation_and_xla(monkeypatch):
    model = AGAD(*NETWORKS["nested normalisation"](), pseudo_anomaly_normalization="auxiliary")
    assert [variable.name for variable in model.auxiliary_variables if variable.trainable] == ["gamma", "beta"]
    monkeypatch.setattr(AGAD, "trains_on_gpu", True)
    for replicas, shared, compiled in ((1, False, True), (2, False, True), (2, True, False)):
        strategy = tf.distribute.get_strategy() if replicas == 1 else mirrored(["CPU:0", "CPU:1"])
        with strategy.scope():
            networks = NETWORKS["nested normalisation"]()
            for layer in (nested for network in networks for nested in batch_normalizations(network)):
                layer.synchronized = shared
            model = AGAD(*networks)
            model.compile()
        assert model.compiles_gradients is compiled


@pytest.mark.parametrize("networks", ["subclassed", "dropout"])
def test_auxiliary_normalisation_that_cannot_be_is_one_sentence(networks):
    with pytest.raises(ValueError, match=r"pseudo_anomaly_normalization='auxiliary'.*[Cc]hoose\s'shared'"):
        AGAD(*NETWORKS[networks](), pseudo_anomaly_normalization="auxiliary")


def test_networks_that_do_not_fit_are_refused():
    larger = keras.Input((32, 32, 1))
    same = L.Identity()(larger)
    for networks, complaint in (
        ((SubclassedGenerator(), discriminator_of()), r"SubclassedGenerator .* AGAD needs a network for images"),
        ((generator_of(), SubclassedDiscriminator()), r"SubclassedDiscriminator .* needs a network for images"),
        ((discriminator_of(), generator_of()), "both shapes must be the same"),
        ((generator_of(), generator_of()), "has 1 outputs; it must have two"),
        ((generator_of(), keras.Model(larger, [same, same])), "make both for the same images"),
    ):
        with pytest.raises(ValueError, match=complaint):
            AGAD(*networks)


def test_networks_from_outside_of_a_strategys_scope_are_refused():
    networks = generator_of(), discriminator_of()
    with mirrored(["CPU:0", "CPU:1"]).scope(), pytest.raises(ValueError, match="but its networks were not"):
        AGAD(*networks)


# === Scores ===


@pytest.mark.parametrize("kind", ["array", "tensor", "dataset"])
def test_images_are_scored_in_batches_however_many_there_are(build_model, monkeypatch, kind):
    model = build_model()
    images = np.random.default_rng(0).uniform(-1, 1, (21, *SHAPE)).astype(np.float32)
    expected = model.reconstruct_and_score(images)[1]
    given = {
        "array": images,
        "tensor": tf.constant(images),
        "dataset": tf.data.Dataset.from_tensor_slices(images).batch(8),
    }[kind]
    sizes = []
    score = model.reconstruct_and_score
    monkeypatch.setattr(model, "reconstruct_and_score", lambda batch: (sizes.append(batch.shape[0]), score(batch))[1])
    monkeypatch.setattr(model, "_score_of_batch", lambda batch: model.reconstruct_and_score(batch)[1])
    np.testing.assert_allclose(model.anomaly_score(given, batch_size=8), expected, rtol=1e-5)
    assert sizes == [8, 8, 5]


@pytest.mark.parametrize(
    ("images", "complaint"),
    [
        (np.zeros((4, *SHAPE), np.uint8), "Images are uint8; give floats"),
        (np.zeros(SHAPE, np.float32), "A single image has an axis"),
        (np.zeros((4, 32, 32, 1), np.float32), r"they must be \(images, 16, 16, 1\)"),
        (np.zeros((0, *SHAPE), np.float32), "the array is empty"),
    ],
)
def test_what_cannot_be_scored_is_refused(build_model, images, complaint):
    with pytest.raises(ValueError, match=complaint):
        build_model().anomaly_score(images)


def test_pixels_are_not_trained_on_as_they_are(build_model):
    with pytest.raises(ValueError, match="Images are uint8; give floats"):
        build_model().fit(np.zeros((4, *SHAPE), np.uint8), verbose=0)


def test_scoring_many_images_takes_little_memory(tmp_path):
    """2,000 images of 32×32×3 through the UNet at once took 9 GiB."""
    out, err, code = in_fresh_process(
        "import resource, numpy as np\n"
        "from agad_tf import AGAD, build_discriminator, build_generator\n"
        "model = AGAD(build_generator('unet', (32, 32, 3), seed=0), build_discriminator((32, 32, 3), seed=0))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "model.anomaly_score(np.zeros((512, 32, 32, 3), np.float32), batch_size=64)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10)"
    )
    assert code == 0, err
    assert float(out) < 1024, "MiB"


def test_a_score_that_needs_normal_images_says_so_until_it_has_them(build_model, batch, tmp_path):
    model = build_model(residual_norm="mahalanobis")
    with pytest.raises(ValueError, match=r"call model\.adapt\(normal_images\) after fit\(\)"):
        model.anomaly_score(batch[0])
    assert np.isnan(model.reconstruct_and_score(batch[0])[1]).all()
    model.adapt(tf.data.Dataset.from_tensor_slices(batch[0]).batch(3))
    scores = model.anomaly_score(batch[0])
    assert np.isfinite(scores).all()
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "model.keras").anomaly_score(batch[0]), scores)
    again = build_model(residual_norm="mahalanobis")
    again.adapt(batch[0], batch_size=5)
    np.testing.assert_allclose(again.anomaly_score(batch[0]), scores, rtol=1e-4)


def test_adapt_does_nothing_for_a_score_that_needs_nothing(build_model, batch):
    model = build_model()
    model.adapt(batch[0])
    assert not model.residual_statistics
