"""Each loss against its equation, evaluated by NumPy in float64."""

import numpy as np
import pytest
import tensorflow as tf

from agad_tf.models import losses
from agad_tf.models.losses import LossWeights

RNG = np.random.default_rng(0)
IMAGES, RECONSTRUCTION = RNG.uniform(-1, 1, (2, 6, 8, 8, 3))
LATENT, RECONSTRUCTION_LATENT = RNG.normal(size=(2, 6, 4, 4, 5))
LOGITS = RNG.normal(scale=3, size=(6, 4, 4, 1))
TERMS = RNG.uniform(0.1, 2, (4, 6))
WEIGHTS = LossWeights(0.7, 40.0, 12.0, 3.0, 1e-2)
LABELS = {
    "all normal": np.zeros(6),
    "all abnormal": np.ones(6),
    "mixed": np.array([0, 1, 0, 0, 1, 1.0]),
}


def tensors(*arrays):
    return [tf.constant(array, tf.float32) for array in arrays]


@pytest.mark.parametrize("target", [0, 1])
def test_adversarial_loss_is_equation_5(target):
    probability = 1 / (1 + np.exp(-LOGITS))
    expected = -np.log(probability if target else 1 - probability).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(losses.adversarial_loss(*tensors(LOGITS), target), expected, rtol=1e-5)


def test_contextual_loss_is_equation_6():
    expected = np.abs(IMAGES - RECONSTRUCTION).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(losses.contextual_loss(*tensors(IMAGES, RECONSTRUCTION)), expected, rtol=1e-5)


def test_latent_loss_is_equation_7():
    difference = (LATENT - RECONSTRUCTION_LATENT).reshape(6, -1)
    expected = np.linalg.norm(difference, axis=1) / np.sqrt(difference.shape[1])
    np.testing.assert_allclose(losses.latent_loss(*tensors(LATENT, RECONSTRUCTION_LATENT)), expected, rtol=1e-5)


def test_contextual_adversarial_distance_is_equation_8_without_its_sign():
    expected = np.abs(IMAGES - RECONSTRUCTION).mean(axis=(1, 2, 3))
    found = losses.contextual_adversarial_distance(*tensors(IMAGES, RECONSTRUCTION))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_normality_loss_is_equation_9():
    adversarial, contextual, distance, latent = TERMS
    expected = 0.7 * adversarial + 40 * contextual + 12 * (-distance) + 3 * latent
    np.testing.assert_allclose(losses.normality_loss(*tensors(*TERMS), WEIGHTS), expected, rtol=1e-5)


def test_anomaly_loss_is_equation_10():
    adversarial, distance, latent, _ = TERMS
    expected = 0.7 / (adversarial + 0.01) + 12 / (distance + 0.01) + 3 * latent
    np.testing.assert_allclose(losses.anomaly_loss(*tensors(*TERMS[:3]), WEIGHTS), expected, rtol=1e-5)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_total_loss_is_equation_11(labels):
    anomaly, normality = TERMS[:2]
    expected = np.where(labels == 1, anomaly, normality)
    np.testing.assert_allclose(losses.total_loss(*tensors(labels, anomaly, normality)), expected, rtol=1e-6)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_discriminator_loss_is_line_7_for_normal_images_and_line_10_for_anomalies(labels):
    real, fake, anomaly = TERMS[:3]
    expected = np.where(labels == 1, anomaly, fake + real)
    np.testing.assert_allclose(losses.discriminator_loss(*tensors(labels, real, fake, anomaly)), expected, rtol=1e-6)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("logit", [-1e4, 0.0, 1e4])
@pytest.mark.parametrize("distance", [0.0, 1e-30, 2.0])
def test_no_input_in_range_gives_a_loss_or_gradient_that_is_not_finite(labels, logit, distance):
    images = tf.fill((6, 4, 4, 1), -1.0)
    shift = tf.Variable(distance)
    logits = tf.Variable(tf.fill((6, 2, 2, 1), logit))
    with tf.GradientTape() as tape:
        reconstruction = images + shift
        difference = losses.contextual_loss(images, reconstruction)
        latent = losses.latent_loss(images, reconstruction)
        real, fake = (losses.adversarial_loss(logits, target) for target in (1, 0))
        normality = losses.normality_loss(real, difference, difference, latent, LossWeights())
        anomaly = losses.anomaly_loss(fake, difference, latent, LossWeights())
        values = losses.total_loss(*tensors(labels), anomaly, normality)
        values += losses.discriminator_loss(*tensors(labels), real, fake, fake)
    assert np.isfinite(values).all()
    for gradient in tape.gradient(values, [shift, logits]):
        assert np.isfinite(gradient).all()


def test_focal_loss_is_cross_entropy_times_the_square_of_what_is_missed():
    masks = (RNG.uniform(size=LOGITS.shape) < 0.3).astype(float)
    probability = 1 / (1 + np.exp(-LOGITS))
    of_truth = np.where(masks == 1, probability, 1 - probability)
    expected = (-((1 - of_truth) ** 2) * np.log(of_truth)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(losses.focal_loss(*tensors(LOGITS, masks)), expected, rtol=1e-4)


def test_structural_loss_is_0_for_an_image_itself_and_grows_with_noise():
    images = np.repeat(np.linspace(-1, 1, 16)[None, :, None, None], 16, axis=2) * np.ones((3, 1, 1, 1))
    noise = RNG.normal(size=images.shape)
    found = [losses.structural_loss(*tensors(images, images + share * noise)).numpy() for share in (0, 0.1, 0.5)]
    np.testing.assert_allclose(found[0], 0, atol=1e-5)
    assert (found[0] < found[1]).all()
    assert (found[1] < found[2]).all()
