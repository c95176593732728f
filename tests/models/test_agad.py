import keras
import numpy as np
import pytest
import tensorflow as tf

from agad_tf.config.choices import GENERATORS
from agad_tf.models import losses
from agad_tf.models.agad import AGAD
from agad_tf.models.network_copies import call_keeping_statistics
from agad_tf.models.scores import combined_norm, mahalanobis_norm, reconstruction_norm, residual_features, smoothed_norm
from agad_tf.networks import build_discriminator, build_generator
from tests.flops import least_flops, profiled_flops


def values(variables):
    return [keras.ops.convert_to_numpy(variable).copy() for variable in variables]


def equal(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def options_of(model):
    return {name: value for name, value in model.get_config().items() if name not in ("generator", "discriminator")}


def test_training_makes_normal_reconstructions_better(build_model, batch):
    model = build_model()
    model.compile(jit_compile=False)
    normal = batch[0][batch[1] == 0]
    history = model.fit(normal, epochs=60, batch_size=6, verbose=0).history
    assert history["contextual_loss"][-1] < 0.9 * history["contextual_loss"][0]


def test_training_with_anomalies_drives_their_reconstructions_away(batch):
    # Images that all look alike but for their sign: the labels alone say which to reconstruct.
    images = np.where(batch[1][:, None, None, None] == 1, -1, 1) * np.abs(batch[0])
    shape = images.shape[1:]
    model = AGAD(build_generator("encoder_decoder", shape, 0.25, seed=1), build_discriminator(shape, 0.25, seed=2))
    model.compile(keras.optimizers.Adam(2e-3, 0.5), keras.optimizers.Adam(2e-3, 0.5), jit_compile=False)
    model.fit(images, batch[1], epochs=60, batch_size=8, verbose=0)
    scores = model.anomaly_score(images).numpy()
    assert scores[batch[1] == 1].min() > scores[batch[1] == 0].max()


def terms_by_numpy(images, passes, labels, anomaly_distance):
    """Every loss term of a batch in float64, straight from the equations; `passes` as the networks gave them."""
    x, x_hat, x_hat_again, y, z, y_hat, z_hat = (np.asarray(a, np.float64) for a in (images, *passes))

    def mean(values):
        return values.reshape(len(values), -1).mean(axis=1)

    def cross_entropy(logits, target):
        probability = 1 / (1 + np.exp(-logits))
        return mean(-np.log(probability if target else 1 - probability))

    l_con, d, l_lat = mean(np.abs(x - x_hat)), mean(np.abs(x_hat - x_hat_again)), np.sqrt(mean((z - z_hat) ** 2))
    d_a = l_con if anomaly_distance == "input" else d
    normality = cross_entropy(y_hat, 1) + 50 * l_con - 15 * d + 5 * l_lat
    anomaly = 1 / (cross_entropy(y_hat, 0) + 0.01) + 15 / (d_a + 0.01) + 5 * l_lat
    of_discriminator = np.where(labels == 1, cross_entropy(y, 0), cross_entropy(y_hat, 0) + cross_entropy(y, 1))
    of_normals = {
        "adversarial_loss": cross_entropy(y_hat, 1),
        "contextual_loss": l_con,
        "contextual_adversarial_distance": d,
        "latent_loss": l_lat,
        "discriminator_real_loss": cross_entropy(y, 1),
        "discriminator_fake_loss": cross_entropy(y_hat, 0),
    }
    of_anomalies = {
        "anomaly_adversarial_loss": cross_entropy(y_hat, 0),
        "anomaly_distance": d_a,
        "anomaly_latent_loss": l_lat,
        "discriminator_anomaly_loss": cross_entropy(y, 0),
    }
    return {
        "generator_loss": np.where(labels == 1, anomaly, normality).mean(),
        "discriminator_loss": of_discriminator.mean(),
        **{name: value[labels == 0].mean() if (labels == 0).any() else 0 for name, value in of_normals.items()},
        **{name: value[labels == 1].mean() if (labels == 1).any() else 0 for name, value in of_anomalies.items()},
    }


@pytest.mark.parametrize("kinds", ["all normal", "all abnormal", "mixed"])
@pytest.mark.parametrize("options", [{}, {"anomaly_distance": "reconstruction"}, {"contextual_adversarial": False}])
def test_every_loss_of_a_step_is_that_of_its_equation(build_model, batch, kinds, options):
    images, mixed = batch
    labels = {"all normal": 0 * mixed, "all abnormal": 0 * mixed + 1, "mixed": mixed}[kinds]
    model = build_model(**options)
    reconstruction = call_keeping_statistics(model.generator, images)
    again = reconstruction
    if model.contextual_adversarial:
        again = call_keeping_statistics(model.generator, reconstruction)
    said = (
        *(reconstruction, again),
        *call_keeping_statistics(model.discriminator, images),
        *call_keeping_statistics(model.discriminator, reconstruction),
    )
    found = model.train_on_batch(images, labels, return_dict=True)
    expected = terms_by_numpy(images, said, labels, model.anomaly_distance)
    expected |= {"loss": expected["generator_loss"], "discriminator_resets": 0, "skipped_steps": 0}
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_both_updates_come_from_the_same_forward_pass(build_model, batch):
    """Freezing one network leaves the other's update as it was: neither sees the other's new weights."""
    model, frozen_generator = build_model(), build_model()
    frozen_generator.generator_optimizer.learning_rate = 0.0
    for each in (model, frozen_generator):
        each.train_on_batch(*batch)
    assert equal(
        values(model.discriminator.trainable_variables), values(frozen_generator.discriminator.trainable_variables)
    )
    assert not equal(
        values(model.generator.trainable_variables), values(frozen_generator.generator.trainable_variables)
    )


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_each_network_takes_adams_step_for_its_own_loss(build_model, batch, name):
    """Adam's first step is the learning rate times the gradient's sign: compare with a gradient taken apart."""
    model = build_model()
    images, labels = tf.constant(batch[0]), tf.constant(batch[1])
    variables = getattr(model, name).trainable_variables
    before = values(variables)
    with tf.GradientTape() as tape:
        terms = model.batch_losses(images, labels, training=True)
        loss = tf.reduce_mean(terms[f"{name}_loss"])
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    stepped = build_model()
    stepped.train_on_batch(*batch)
    for old, new, gradient in zip(before, getattr(stepped, name).trainable_variables, gradients, strict=True):
        clear = np.abs(gradient) > 1e-4
        assert clear.any()
        np.testing.assert_allclose((old - new.numpy())[clear], 2e-4 * np.sign(gradient)[clear], rtol=0.05)


def test_moving_statistics_follow_images_and_not_pseudo_anomalies(build_model, batch):
    model, without = build_model(), build_model(contextual_adversarial=False)
    for each in (model, without):
        each.train_on_batch(*batch)
    assert equal(values(model.generator.non_trainable_variables), values(without.generator.non_trainable_variables))


def test_score_of_an_image_does_not_depend_on_its_batch(build_model, batch):
    model = build_model()
    model.train_on_batch(*batch)
    images = batch[0]
    alone = np.concatenate([model.anomaly_score(images[i : i + 1]) for i in range(len(images))])
    np.testing.assert_allclose(model.anomaly_score(images), alone, rtol=1e-5)
    np.testing.assert_allclose(
        alone, np.linalg.norm((images - model.predict(images, verbose=0)).reshape(8, -1), axis=1), rtol=1e-5
    )


@pytest.mark.parametrize("normalization", ["batch", "group"])
def test_discriminator_is_drawn_anew_below_the_threshold(build_model, batch, normalization):
    # The loss of a step is always below this threshold.
    model = build_model(reinit_threshold=1e9, normalization=normalization)
    before = values(model.discriminator.trainable_variables)
    drawn = []
    for _ in range(2):
        model.reset_metrics()
        assert model.train_on_batch(*batch, return_dict=True)["discriminator_resets"] == 1
        drawn.append(values(model.discriminator.trainable_variables))
    assert not equal(before, drawn[0])
    assert not equal(*drawn), "every drawing must give other weights"
    kernels = np.concatenate([v.ravel() for v in drawn[1] if v.ndim == 4])
    assert kernels.std() == pytest.approx(0.02, rel=0.1)
    optimizer = model.discriminator_optimizer
    assert float(optimizer.learning_rate) == pytest.approx(2e-4)
    assert int(optimizer.iterations) == 0
    assert not any(np.any(v) for v in optimizer.variables if "learning_rate" not in v.name)
    for variable in model.discriminator.non_trainable_variables:
        assert np.all(variable == (1 if variable.name == "moving_variance" else 0))
    assert int(model.generator_optimizer.iterations) == 2


def test_discriminator_goes_on_learning_above_the_threshold(build_model, batch):
    model = build_model()
    result = model.train_on_batch(*batch, return_dict=True)
    assert result["discriminator_resets"] == 0
    assert int(model.discriminator_optimizer.iterations) == 1


def test_threshold_is_compared_with_the_loss_of_the_batch(build_model, batch):
    loss = build_model().train_on_batch(*batch, return_dict=True)["discriminator_loss"]
    for threshold, resets in ((0.999 * loss, 0), (1.001 * loss, 1)):
        model = build_model(reinit_threshold=threshold)
        assert model.train_on_batch(*batch, return_dict=True)["discriminator_resets"] == resets


def test_labels_in_any_order_give_the_same_losses(build_model, batch):
    images, labels = batch
    order = np.argsort(labels)
    for anomaly_normalization in ("joint", "separate", "frozen"):
        first, second = (build_model(anomaly_normalization=anomaly_normalization) for _ in range(2))
        a = first.train_on_batch(images, labels, return_dict=True)
        b = second.train_on_batch(images[order], labels[order], return_dict=True)
        assert a == pytest.approx(b, rel=1e-4)


def test_separate_gives_normals_the_statistics_of_normals_alone(build_model, batch):
    images, labels = batch
    mixed, alone = build_model(anomaly_normalization="separate"), build_model()
    mixed_result = mixed.train_on_batch(images, labels, return_dict=True)
    alone_result = alone.train_on_batch(images[labels == 0], return_dict=True)
    assert mixed_result["contextual_loss"] == pytest.approx(alone_result["contextual_loss"], rel=1e-5)
    joint_result = build_model().train_on_batch(images, labels, return_dict=True)
    assert joint_result["contextual_loss"] != pytest.approx(alone_result["contextual_loss"], rel=1e-5)


def test_separate_lets_every_kind_of_image_move_the_statistics(build_model, batch):
    images, labels = batch
    model, expected = (build_model(anomaly_normalization="separate") for _ in range(2))
    for part in (images[labels == 0], images[labels == 1]):
        expected.generator(expected.generator(part, training=True), training=True)
    model.train_on_batch(images, labels)
    for found, wanted in zip(
        model.generator.non_trainable_variables, expected.generator.non_trainable_variables, strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_frozen_sends_anomalies_through_the_moving_statistics(build_model, batch):
    images, labels = batch
    frozen, alone = build_model(anomaly_normalization="frozen"), build_model()
    # Fresh moving statistics (mean 0, variance 1) are those of inference.
    expected = np.abs(images - frozen.predict(images, verbose=0)).mean(axis=(1, 2, 3))[labels == 1].mean()
    result = frozen.train_on_batch(images, labels, return_dict=True)
    assert result["anomaly_distance"] == pytest.approx(expected, rel=1e-4)
    alone.train_on_batch(images[labels == 0])
    assert equal(values(frozen.generator.non_trainable_variables), values(alone.generator.non_trainable_variables))


def trained_by_pseudo_anomalies(model):
    """Scales and offsets of the auxiliary normalisation, and those of G that they began as."""
    own = [variable for variable in model.auxiliary_variables if variable.trainable]
    layers = [layer for layer in model.generator.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return own, [variable for layer in layers for variable in layer.trainable_variables]


def test_auxiliary_normalization_is_a_copy_to_begin_with_that_pseudo_anomalies_train(build_model, batch):
    shared, auxiliary = build_model(), build_model(pseudo_anomaly_normalization="auxiliary")
    own, of_images = trained_by_pseudo_anomalies(auxiliary)
    untrained = values(own)
    assert equal(untrained, values(of_images))
    first, second = (model.train_on_batch(*batch, return_dict=True) for model in (shared, auxiliary))
    assert first == pytest.approx(second, rel=1e-5)
    # Scales and offsets of one layer down and two up.
    assert len(own) == 6
    for trained, before, other in zip(values(own), untrained, values(of_images), strict=True):
        assert not np.array_equal(trained, before)
        assert not np.array_equal(trained, other)


def test_auxiliary_normalization_shares_all_other_weights(build_model):
    model = build_model(pseudo_anomaly_normalization="auxiliary")
    own = {id(variable) for variable in model.auxiliary_variables}
    of_generator = {id(variable) for variable in model.generator.variables}
    assert not own & of_generator
    others = {id(variable) for variable in model.pseudo_anomaly_generator.variables} - own
    assert others == {id(variable) for variable in model.generator.variables if variable.name == "kernel"} | {
        id(variable) for variable in model.generator.variables if variable.name == "bias"
    }


def test_auxiliary_normalization_concerns_pseudo_anomalies_alone(build_model, batch):
    model = build_model(pseudo_anomaly_normalization="auxiliary")
    images = tf.constant(batch[0])
    before = model(images), model.re_reconstruct(images, training=True)
    for variable in trained_by_pseudo_anomalies(model)[0]:
        variable.assign(variable + 0.5)
    np.testing.assert_array_equal(model(images), before[0])
    assert np.abs(model.re_reconstruct(images, training=True) - before[1]).max() > 0.01


def test_auxiliary_normalization_is_saved(build_model, batch, tmp_path):
    model = build_model(pseudo_anomaly_normalization="auxiliary")
    model.train_on_batch(*batch)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert equal(values(model.auxiliary_variables), values(loaded.auxiliary_variables))
    for each in (model, loaded):
        each.reset_metrics()
    found, expected = (m.train_on_batch(*batch, return_dict=True) for m in (loaded, model))
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("residual_norm", "norm"), [("euclidean", reconstruction_norm), ("smoothed", smoothed_norm)])
def test_the_score_is_the_norm_that_is_named(build_model, batch, residual_norm, norm, tmp_path):
    model = build_model(residual_norm=residual_norm)
    scores = model.anomaly_score(batch[0])
    np.testing.assert_allclose(scores, norm(batch[0], model(batch[0])), rtol=1e-6)
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "model.keras").anomaly_score(batch[0]), scores)


@pytest.mark.parametrize("residual_norm", ["mahalanobis", "combined"])
def test_the_score_takes_statistics_of_residuals_into_account(build_model, batch, residual_norm):
    model = build_model(residual_norm=residual_norm)
    for variable in model.residual_statistics:
        variable.assign(np.random.default_rng(0).normal(size=variable.shape))
    images, reconstruction = batch[0], model(batch[0])
    expected = {
        "mahalanobis": mahalanobis_norm(residual_features(images, reconstruction), *model.residual_statistics),
        "combined": combined_norm(images, reconstruction, *model.residual_statistics),
    }
    np.testing.assert_allclose(model.anomaly_score(images), expected[residual_norm], rtol=1e-5)


def test_statistics_of_residuals_are_saved(build_model, batch, tmp_path):
    model = build_model(residual_norm="mahalanobis")
    for variable in model.residual_statistics:
        variable.assign(np.random.default_rng(0).normal(size=variable.shape))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.anomaly_score(batch[0]), model.anomaly_score(batch[0]), rtol=1e-6)


@pytest.mark.parametrize("residual_norm", ["mahalanobis", "combined"])
def test_windows_need_a_size_that_they_divide(residual_norm):
    images = keras.Input((24, 24, 1))
    same = keras.layers.Identity()(images)
    generator, discriminator = keras.Model(images, same), keras.Model(images, [same, same])
    with pytest.raises(ValueError, match=f"{residual_norm}.*multiples of 16"):
        AGAD(generator, discriminator, residual_norm=residual_norm)


@pytest.mark.parametrize("anomaly_normalization", ["separate", "frozen"])
@pytest.mark.parametrize("run_eagerly", [True, False])
def test_split_normalization_refuses_batches_of_one_kind(build_model, batch, anomaly_normalization, run_eagerly):
    model = build_model(anomaly_normalization=anomaly_normalization)
    model.compile(run_eagerly=run_eagerly, jit_compile=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="no abnormal ones"):
        model.train_on_batch(batch[0], np.zeros(8))


def test_reconstruction_distance_uses_the_second_reconstruction(build_model, batch):
    by_input, by_reconstruction = (build_model(anomaly_distance=kind) for kind in ("input", "reconstruction"))
    results = [m.train_on_batch(*batch, return_dict=True) for m in (by_input, by_reconstruction)]
    assert results[0]["anomaly_distance"] != pytest.approx(results[1]["anomaly_distance"], rel=1e-3)
    assert results[0]["contextual_loss"] == pytest.approx(results[1]["contextual_loss"], rel=1e-5)


def test_without_contextual_adversarial_information_pseudo_anomalies_count_for_nothing(build_model, batch):
    result = build_model(contextual_adversarial=False).train_on_batch(*batch, return_dict=True)
    assert result["contextual_adversarial_distance"] == 0


def test_evaluate_learns_nothing_and_names_every_loss(build_model, batch):
    model = build_model()
    before = values(model.weights)
    result = model.evaluate(*batch, return_dict=True, verbose=0)
    assert set(result) == {*model.loss_means, "loss"}
    assert all(np.isfinite(value) for value in result.values())
    assert equal(before, values(model.weights))


def test_saved_model_goes_on_training_as_if_never_saved(build_model, batch, tmp_path):
    model = build_model(anomaly_distance="reconstruction", reinit_threshold=0.25, seed=7)
    model.train_on_batch(*batch)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert options_of(loaded) == options_of(model)
    assert loaded.generator_optimizer is not loaded.discriminator_optimizer
    for each in (model, loaded):
        each.train_on_batch(*batch)
    assert equal(values(model.generator.variables), values(loaded.generator.variables))
    assert equal(values(model.discriminator.variables), values(loaded.discriminator.variables))


def test_from_config_builds_the_same_model(build_model):
    model = build_model(compiled=False, contextual_adversarial=False, loss_weights=(1.0, 2.0, 3.0, 4.0, 0.5))
    again = AGAD.from_config(model.get_config())
    assert options_of(again) == options_of(model)
    assert again.loss_weights == losses.LossWeights(1, 2, 3, 4, 0.5)


def test_ordinary_keras_callbacks_work(build_model, batch, tmp_path):
    model = build_model()
    model.fit(
        *batch,
        validation_data=batch,
        epochs=2,
        batch_size=4,
        verbose=0,
        callbacks=[
            keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="val_contextual_loss", mode="min"),
            keras.callbacks.EarlyStopping("val_contextual_loss", mode="min"),
            keras.callbacks.ReduceLROnPlateau("contextual_loss", mode="min"),
        ],
    )
    assert (tmp_path / "best.keras").exists()


@pytest.mark.slow
@pytest.mark.parametrize("anomaly_normalization", ["joint", "separate"])
def test_xla_compiles_the_step_and_computes_the_same(build_model, batch, anomaly_normalization):
    options = {"anomaly_normalization": anomaly_normalization}
    plain, compiled = build_model(**options), build_model(compiled=False, **options)
    compiled.compile(jit_compile=True)
    first, second = (m.train_on_batch(*batch, return_dict=True) for m in (plain, compiled))
    assert first == pytest.approx(second, rel=1e-3)


def test_sample_weights_are_refused(build_model, batch):
    with pytest.raises(ValueError, match="weighted only by label"):
        build_model().fit(*batch, sample_weight=np.ones(8), verbose=0)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"anomaly_distance": "far"}, "far.*input, reconstruction"),
        ({"anomaly_normalization": "none"}, "none.*joint, separate, frozen"),
        ({"anomaly_distance": "reconstruction", "contextual_adversarial": False}, "needs contextual_adversarial"),
    ],
)
def test_wrong_choices_are_refused(build_model, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        build_model(**options)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_step_does_no_more_floating_point_work_than_the_shapes_demand(name):
    batch_size = 4
    model = AGAD(build_generator(name, seed=0), build_discriminator(seed=0))
    model.compile()
    least = batch_size * least_flops(model.generator, model.discriminator)
    found = profiled_flops(model, batch_size)
    # `pytest -s` shows the figures of tests/benchmarks/README.md.
    print(f"{name}: least {least / batch_size / 1e9:.4f} GFLOP an image, profiled {found / least:.4f} times that")
    assert 1.0 <= found / least < 1.02


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_computes_nearly_the_same(build_model, batch, precision):
    exact, mixed = build_model(), build_model(dtype_policy=f"mixed_{precision}")
    assert mixed.generator.layers[1].compute_dtype == precision
    assert all(variable.dtype == "float32" for variable in mixed.trainable_variables)
    terms = mixed.batch_losses(*map(tf.constant, batch), training=True)
    assert all(term.dtype == tf.float32 for term in terms.values())
    assert mixed.anomaly_score(batch[0]).dtype == tf.float32
    first, second = (m.train_on_batch(*batch, return_dict=True) for m in (exact, mixed))
    assert first == pytest.approx(second, rel=0.05)


def test_scaled_losses_take_the_same_step(build_model, batch):
    plain, scaled = build_model(), build_model(compiled=False, reinit_threshold=1.0)
    scaled.compile(*(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(2e-4, 0.5)) for _ in range(2)))
    for each in (plain, scaled):
        each.train_on_batch(*batch)
    for first, second in zip(plain.generator.variables, scaled.generator.variables, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_a_discriminator_drawn_anew_keeps_the_scale_of_its_loss(build_model, batch):
    model = build_model(compiled=False, reinit_threshold=1e9)
    optimizers = [keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(2e-4, 0.5)) for _ in range(2)]
    model.compile(*optimizers, run_eagerly=True)
    model.train_on_batch(*batch)
    assert float(optimizers[1].dynamic_scale) == 2.0**15
    assert int(optimizers[1].step_counter) == 1
    assert int(optimizers[1].inner_optimizer.iterations) == 0
