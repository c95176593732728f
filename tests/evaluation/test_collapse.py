import numpy as np
import pytest

from agad_tf.evaluation.collapse import collapse_figures, collapse_signs

HEALTHY = {
    "validation_reconstruction_spread": 0.8,
    "validation_discriminator_accuracy": 0.7,
    "validation_pseudo_anomaly_auroc": 0.97,
}


@pytest.fixture
def said():
    """Four images, and what healthy networks say of them."""
    images = np.random.default_rng(0).uniform(-1, 1, (4, 2, 2, 1)).astype(np.float32)
    low, high = np.array([1.0, 2.0, 3.0, 4.0]), np.array([5.0, 6.0, 7.0, 2.5])
    return [images, 0.5 * images, low, high, np.array([1.0, 1.0, 1.0, -1.0]), np.array([-1.0, -1.0, 1.0, 1.0])]


def test_figures_are_those_worked_out_by_hand(said):
    figures = collapse_figures(*said)
    assert figures["validation_reconstruction_spread"] == pytest.approx(0.5)
    assert figures["validation_discriminator_accuracy"] == pytest.approx(5 / 8)
    assert figures["validation_pseudo_anomaly_auroc"] == pytest.approx(14 / 16)


def test_images_that_are_all_alike_are_no_collapse(said):
    said[0] = said[1] = np.ones((4, 2, 2, 1), np.float32)
    assert collapse_figures(*said)["validation_reconstruction_spread"] == 1.0


def test_scores_that_are_not_numbers_give_no_auroc(said):
    said[3] = np.array([1.0, np.nan, 1.0, np.inf])
    figures = collapse_figures(*said)
    assert np.isnan(figures["validation_pseudo_anomaly_auroc"])
    collapse_signs(figures)


def test_a_healthy_game_has_no_signs():
    assert collapse_signs(HEALTHY) == []
    assert collapse_signs({}) == []


@pytest.mark.parametrize(
    ("name", "value", "sign"),
    [
        ("validation_reconstruction_spread", 0.01, "the same image for every input"),
        ("validation_discriminator_accuracy", 1.0, "so the generator learns nothing"),
        ("validation_discriminator_accuracy", 0.5, "no more than by chance"),
        ("validation_pseudo_anomaly_auroc", 0.5, "no higher than the images"),
    ],
)
def test_each_collapse_has_its_sentence(name, value, sign):
    (found,) = collapse_signs({**HEALTHY, name: value})
    assert sign in found
