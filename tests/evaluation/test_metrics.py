import tracemalloc

import numpy as np
import pytest

from agad_tf.evaluation.metrics import detection_metrics, figures_at

LABELS = np.repeat([0, 1], [200, 300])


def scores(distance, seed=0):
    return np.random.default_rng(seed).normal(size=500) + distance * LABELS


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    values = scores(1.0)
    pairs = values[LABELS == 1][:, None] > values[LABELS == 0][None, :]
    assert detection_metrics(LABELS, values)["auroc"] == pytest.approx(pairs.mean())


def test_perfect_scores_give_perfect_figures():
    found = detection_metrics(LABELS, LABELS.astype(float))
    assert found == {
        "auroc": 1.0,
        "auroc_low": 1.0,
        "auroc_high": 1.0,
        "average_precision": 1.0,
        "fpr_at_95_tpr": 0.0,
        "oracle_f1": 1.0,
        "oracle_threshold": 1.0,
    }


def test_equal_scores_tell_nothing():
    found = detection_metrics(LABELS, np.zeros(500))
    assert (found["auroc_low"], found["auroc"], found["auroc_high"]) == (0.5, 0.5, 0.5)


def test_threshold_reaches_the_best_f1():
    values = scores(1.5)
    found = detection_metrics(LABELS, values)

    def f1(threshold):
        flagged = values >= threshold
        return 2 * np.sum(flagged & (LABELS == 1)) / (flagged.sum() + LABELS.sum())

    assert f1(found["oracle_threshold"]) == pytest.approx(found["oracle_f1"])
    assert found["oracle_f1"] == pytest.approx(max(f1(value) for value in values))


def test_false_positive_rate_is_taken_where_95_percent_of_anomalies_are_found():
    values = scores(2.0)
    threshold = np.sort(values[LABELS == 1])[15]  # 285 of 300 anomalies score at least this
    expected = np.mean(values[LABELS == 0] >= threshold)
    assert detection_metrics(LABELS, values)["fpr_at_95_tpr"] == pytest.approx(expected)


def test_interval_covers_the_true_auroc_about_as_often_as_it_says():
    """AUROC of unit normals one apart is Φ(1/√2) = 0.7602."""
    intervals = [detection_metrics(LABELS[150:300], scores(1.0, seed)[150:300]) for seed in range(40)]
    covered = [found["auroc_low"] <= 0.7602 <= found["auroc_high"] for found in intervals]
    assert 34 <= sum(covered) <= 40
    widths = [found["auroc_high"] - found["auroc_low"] for found in intervals]
    assert 0.05 < np.mean(widths) < 0.3


def test_seed_fixes_the_interval():
    first, again, other = (detection_metrics(LABELS, scores(1.0), seed) for seed in (1, 1, 2))
    assert first == again
    assert first["auroc_low"] != other["auroc_low"]


def test_one_kind_of_image_alone_is_refused():
    with pytest.raises(ValueError, match="both 0 and 1"):
        detection_metrics(np.ones(5, int), np.arange(5.0))


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        detection_metrics(np.array([0, 1]), np.array([0.0, np.nan]))


def test_figures_at_a_threshold_count_what_it_flags():
    labels, values = np.array([0, 0, 0, 0, 1, 1, 1]), np.array([1.0, 2, 3, 4, 2, 3, 5])
    found = figures_at(labels, values, 3.0)
    assert [found[f"{name}s"] for name in ("true_positive", "false_positive", "true_negative", "false_negative")] == [
        *(2, 2, 2, 1)
    ]
    assert (found["precision"], found["false_positive_rate"]) == (0.5, 0.5)
    assert found["recall"] == found["true_positive_rate"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 / (1 / 0.5 + 1.5))


def test_a_threshold_above_all_scores_has_no_precision_and_an_f1_of_0():
    found = figures_at(np.array([0, 1]), np.array([0.0, 1.0]), 2.0)
    assert (found["precision"], found["recall"], found["f1"]) == (None, 0, 0)


def test_without_anomalies_a_threshold_has_false_positives_alone():
    found = figures_at(np.zeros(4, int), np.arange(4.0), 3.0)
    assert (found["precision"], found["recall"], found["f1"]) == (None, None, None)
    assert (found["false_positives"], found["false_positive_rate"]) == (1, 0.25)


def test_the_interval_of_many_images_takes_little_memory():
    labels = np.repeat([0, 1], [1000, 20_000])
    tracemalloc.start()
    detection_metrics(labels, np.random.default_rng(0).normal(size=21_000) + labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # All draws at once are 160 MB.
    assert peak < 20e6
