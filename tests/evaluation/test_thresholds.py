import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import spearmanr

import agad_tf
from agad_tf.config.errors import UsageError
from agad_tf.evaluation.thresholds import Decision, decide, flagged_share_interval, probability, threshold_basis

NORMAL_SCORES = np.random.default_rng(0).gamma(9.0, size=10_000).astype(np.float32)
NORMALS = np.zeros(len(NORMAL_SCORES), int)


def flagged(scores, **rule):
    return np.mean(scores >= decide(np.zeros(len(scores), int), scores, **rule).threshold)


def test_without_anomalies_one_normal_image_in_a_hundred_is_flagged():
    assert flagged(NORMAL_SCORES) == pytest.approx(0.01, abs=1e-4)
    assert "quantile" in decide(NORMALS, NORMAL_SCORES).threshold_source


def test_with_anomalies_the_threshold_separates_them():
    labels = np.repeat([0, 1], 50)
    decision = decide(labels, labels * 10.0 + np.arange(100) / 100)
    assert 0.5 < decision.threshold <= 10.5
    assert "F1" in decision.threshold_source


@pytest.mark.parametrize("rate", [0, 0.001, 0.05, 0.5])
@pytest.mark.parametrize("count", [1, 10, 997, 10_000])
def test_fpr_flags_as_many_normals_as_allowed_and_no_more(rate, count):
    scores = NORMAL_SCORES[:count]
    assert flagged(scores, rule=f"fpr={rate}") == int(rate * count) / count


def test_fpr_does_not_flag_what_is_equal_to_an_image_that_it_must_not():
    assert flagged(np.array([1, 2, 2, 2], np.float32), rule="fpr=0.5") == 0


def test_quantile_and_number_are_taken_as_they_are():
    assert decide(NORMALS, NORMAL_SCORES, "quantile=0.9").threshold == pytest.approx(np.quantile(NORMAL_SCORES, 0.9))
    assert decide(NORMALS, NORMAL_SCORES, "12.5").threshold == 12.5


@pytest.mark.parametrize("rule", ["auto", "quantile=0.9", "quantile=0.5", "fpr=0.1", "9.5"])
@pytest.mark.parametrize("count", [1, 7, 24, 101])
def test_the_interval_holds_the_share_of_normals_that_will_be_flagged_as_often_as_it_says(rule, count):
    rng = np.random.default_rng(0)
    labels, simulations = np.zeros(count, int), 2000
    missed_low = missed_high = 0
    for _ in range(simulations):
        # Scores of which the share above any threshold is known.
        scores = rng.exponential(4.0, count)
        threshold = decide(labels, scores, rule).threshold
        low, high = flagged_share_interval(scores, threshold)
        share = np.exp(-threshold / 4.0)
        missed_low += share < low
        missed_high += share > high
    # Each side may be missed in 2.5 % of cases: three standard errors more for chance.
    assert max(missed_low, missed_high) / simulations < 0.025 + 3 * np.sqrt(0.025 * 0.975 / simulations)


def test_the_interval_of_a_threshold_at_a_score_is_exact():
    rng = np.random.default_rng(1)
    missed = 0
    for _ in range(4000):
        scores = np.sort(rng.random(20))
        low, high = flagged_share_interval(scores, scores[17])
        missed += not low <= 1 - scores[17] <= high
    assert missed / 4000 == pytest.approx(0.05, abs=0.011)


@pytest.mark.parametrize(
    ("scores", "threshold", "expected"),
    [
        # Clopper and Pearson's interval of 0, 1 and all of 10.
        (np.arange(10.0), 99.0, (0.0, 0.3085)),
        (np.arange(10.0), 8.5, (0.0025, 0.4450)),
        (np.arange(10.0), -1.0, (0.6915, 1.0)),
        # A single image says next to nothing.
        ([3.0], 3.0, (0.025, 0.975)),
        # Equal scores: all of them are flagged, and none lies above.
        (np.full(10, 3.0), 3.0, (0.6915, 1.0)),
    ],
)
def test_the_interval_of_known_cases(scores, threshold, expected):
    assert flagged_share_interval(np.array(scores), threshold) == pytest.approx(expected, abs=1e-4)


def test_a_threshold_says_how_many_normal_images_it_rests_on():
    labels, scores = np.repeat([0, 1], [24, 3]), np.arange(27.0)
    for rule, normals in (("auto", None), ("quantile=0.99", 24), ("fpr=0.1", 24), ("12", None)):
        basis = threshold_basis(labels, scores, decide(labels, scores, rule).threshold, rule)
        assert basis["threshold_normals"] == normals
        assert basis["threshold_anomalies"] == (3 if rule == "auto" else None)
        assert (basis["expected_flagged_low"] is None) == (rule == "auto")
    assert threshold_basis(labels[:24], scores[:24], 22.77, "auto")["threshold_normals"] == 24


def test_f1_without_anomalies_is_refused():
    with pytest.raises(UsageError, match="--gamma"):
        decide(NORMALS, NORMAL_SCORES, "f1")


def test_probabilities_rise_with_the_score():
    labels = np.arange(10_000) % 2
    for decision in (decide(NORMALS, NORMAL_SCORES), decide(labels, NORMAL_SCORES + 3 * labels)):
        probability = decision.probability(NORMAL_SCORES)
        assert spearmanr(probability, NORMAL_SCORES).statistic == pytest.approx(1)
        assert 0 <= probability.min() <= probability.max() <= 1


def test_without_anomalies_the_probability_is_the_share_of_normals_that_score_lower():
    validation, test = NORMAL_SCORES[:5000], NORMAL_SCORES[5000:]
    probability = decide(NORMALS[:5000], validation).probability(test)
    for share in (0.5, 0.9, 0.99):
        assert np.mean(probability < share) == pytest.approx(share, abs=0.02)


def test_with_anomalies_the_probability_is_how_often_an_image_is_one():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-(2 * scores - 1)))).astype(int)
    probability = decide(labels[:5000], scores[:5000]).probability(scores[5000:])
    for low in np.arange(0, 1, 0.1):
        among = (probability >= low) & (probability < low + 0.1)
        assert labels[5000:][among].mean() == pytest.approx(low + 0.05, abs=0.06)


def test_scores_that_are_upside_down_do_not_turn_the_probability():
    labels = np.repeat([0, 1], 50)
    decision = decide(labels, 10.0 - labels)
    assert decision.slope > 0


@pytest.mark.parametrize("scores", [[3.0], [3.0] * 20, [0.0] * 20])
def test_equal_scores_make_no_infinite_slope(scores):
    scores = np.array(scores, np.float32)
    decision = decide(np.zeros(len(scores), int), scores)
    assert np.isfinite(decision.slope)
    assert np.isfinite(decision.probability(scores)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probability_of_arrays_and_tensors_is_the_logistic_curve(dtype):
    scores = np.array([-1e4, 2, 4, 7, 1e4], dtype)
    expected = [0, 1 / (1 + np.e), 0.5, 1 / (1 + np.exp(-1.5)), 1]
    of_array = Decision(5.0, "", 4.0, 0.5, "").probability(scores)
    of_tensor = Decision(5.0, "", 4.0, 0.5, "").probability(tf.constant(scores))
    of_variables = probability(tf.constant(scores), tf.Variable(4.0, dtype=dtype), tf.Variable(0.5, dtype=dtype))
    assert isinstance(of_array, np.ndarray)
    for found in (of_array, of_tensor, of_variables):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_logistic_curve_stands_in_one_file():
    package = Path(agad_tf.__file__).parent
    # The losses and the segmentation network have logits of their own, which are no scores.
    of_networks = {package / "models" / "losses.py", package / "models" / "segmenting_agad.py"}
    files = (path for path in package.rglob("*.py") if path not in of_networks)
    formula = re.compile(r"\b(sigmoid|expit)\(")
    assert [path.name for path in files if formula.search(path.read_text())] == ["thresholds.py"]
