import keras
import numpy as np
import pytest
import tensorflow as tf

from agad_tf.evaluation.thresholds import Decision
from agad_tf.models.build import PUBLISHED_WEIGHTS
from agad_tf.models.ganomaly import GANomaly
from agad_tf.models.network_copies import call_keeping_statistics
from agad_tf.models.skip_ganomaly import SkipGANomaly
from agad_tf.networks import build_code_comparing_generator, build_discriminator, build_generator
from agad_tf.serving.saved_model import export_saved_model

SHAPE = (16, 16, 1)


@pytest.fixture
def build():
    """A function that builds a small model of a method."""

    def build(method):
        keras.utils.set_random_seed(0)
        networks = {
            GANomaly: lambda: build_code_comparing_generator(SHAPE, 1 / 8, seed=1),
            SkipGANomaly: lambda: build_generator("unet", SHAPE, 1 / 8, seed=1),
        }
        weights = PUBLISHED_WEIGHTS[{GANomaly: "ganomaly", SkipGANomaly: "skip_ganomaly"}[method]]
        model = method(networks[method](), build_discriminator(SHAPE, 1 / 8, seed=2), loss_weights=weights)
        model.compile(run_eagerly=True)
        return model

    return build


def root_mean_square(first, second):
    return np.sqrt(np.square(np.float64(first) - second).reshape(len(first), -1).mean(axis=1))


def mean_softplus(logits):
    return np.log1p(np.exp(np.float64(logits))).mean()


def test_ganomaly_matches_features_and_codes(build, batch):
    images, _ = batch
    model = build(GANomaly)
    reconstruction, code, again = call_keeping_statistics(model.generator, images)
    logits, features = call_keeping_statistics(model.discriminator, images)
    fake_logits, fake_features = call_keeping_statistics(model.discriminator, reconstruction)
    contextual = np.abs(images - reconstruction).mean()
    expected = 50 * contextual + root_mean_square(features, fake_features).mean() + root_mean_square(code, again).mean()
    found = model.train_on_batch(images, return_dict=True)
    assert found["generator_loss"] == pytest.approx(expected, rel=1e-4)
    judged = mean_softplus(-logits.numpy()) + mean_softplus(fake_logits.numpy())
    assert found["discriminator_loss"] == pytest.approx(judged, rel=1e-4)


def test_ganomaly_scores_by_the_distance_of_codes(build, batch):
    model = build(GANomaly)
    _, code, again = model.generator(batch[0], training=False)
    expected = np.linalg.norm((code - again).numpy().reshape(8, -1), axis=1)
    np.testing.assert_allclose(model.anomaly_score(batch[0]), expected, rtol=1e-5)


def test_skip_ganomaly_is_agad_without_pseudo_anomalies_under_its_own_weights(build, batch):
    images, _ = batch
    model = build(SkipGANomaly)
    found = model.train_on_batch(images, return_dict=True)
    assert found["contextual_adversarial_distance"] == 0
    expected = found["adversarial_loss"] + 40 * found["contextual_loss"] + found["latent_loss"]
    assert found["generator_loss"] == pytest.approx(expected, rel=1e-5)


def test_skip_ganomaly_scores_by_nine_parts_of_pixels_and_one_of_features(build, batch):
    images, _ = batch
    model = build(SkipGANomaly)
    reconstruction = model.generator(images, training=False).numpy()
    features, fake_features = (model.discriminator(x, training=False)[1].numpy() for x in (images, reconstruction))
    contextual = np.abs(images - reconstruction).reshape(8, -1).mean(axis=1)
    expected = 0.9 * contextual + 0.1 * root_mean_square(features, fake_features)
    np.testing.assert_allclose(model.anomaly_score(images), expected, rtol=1e-4)


@pytest.mark.parametrize("method", [GANomaly, SkipGANomaly])
def test_labels_are_left_unread(build, batch, method):
    images, labels = batch
    first, second = build(method), build(method)
    first.train_on_batch(images, labels)
    second.train_on_batch(images)
    for a, b in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("method", [GANomaly, SkipGANomaly])
def test_training_improves_reconstructions(build, batch, method):
    images, _ = batch
    model = build(method)
    losses = [model.train_on_batch(images, return_dict=True)["contextual_loss"] for _ in range(8)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("method", [GANomaly, SkipGANomaly])
def test_saved_and_served_models_give_the_same_scores(build, batch, method, tmp_path):
    images, _ = batch
    model = build(method)
    model.train_on_batch(images)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, method)
    np.testing.assert_allclose(loaded.anomaly_score(images), model.anomaly_score(images), rtol=1e-5)
    export_saved_model(model, Decision(1.0, "", 1.0, 1.0, ""), tmp_path / "saved_model")
    detector = tf.saved_model.load(str(tmp_path / "saved_model"))
    served = detector.serve((images + 1) * 127.5)
    np.testing.assert_allclose(served["score"], model.anomaly_score(images), rtol=1e-4)
    assert served["reconstruction"].shape == images.shape
