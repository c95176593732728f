import numpy as np
import pytest

from agad_tf.evaluation.collapse import collapse_figures, collapse_signs
from agad_tf.evaluation.scorer import Scorer
from agad_tf.training.collapse_watch import CollapseWatch
from agad_tf.training.epoch_scores import EpochScores

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
        ("validation_reconstruction_spread", 0.01, "the same picture whatever it is shown"),
        ("validation_discriminator_accuracy", 1.0, "leaves the generator nothing"),
        ("validation_discriminator_accuracy", 0.5, "no more than a coin"),
        ("validation_pseudo_anomaly_auroc", 0.5, "no higher than the images"),
    ],
)
def test_each_collapse_has_its_sentence(name, value, sign):
    (found,) = collapse_signs({**HEALTHY, name: value})
    assert sign in found


@pytest.mark.parametrize("contextual_adversarial", [True, False])
def test_a_constant_generator_is_noticed_towards_the_end_of_training(
    build_model, task, batch, tmp_path, capsys, contextual_adversarial
):
    model = build_model(contextual_adversarial=contextual_adversarial)
    for variable in model.generator.trainable_variables:
        variable.assign(0 * variable)
    model.compile(run_eagerly=True)
    watch = CollapseWatch(model, task, epochs=2)
    scores = EpochScores(task, Scorer(model, 4), tmp_path / "family.npz")
    model.generator_optimizer.learning_rate = 0.0
    history = model.fit(*batch, epochs=2, verbose=0, callbacks=[scores, watch]).history
    assert history["validation_reconstruction_spread"] == [0.0, 0.0]
    assert ("validation_pseudo_anomaly_auroc" in history) == contextual_adversarial
    said = capsys.readouterr().out
    assert "after epoch 2 the generator draws nearly the same picture" in said
    assert "after epoch 1" not in said
