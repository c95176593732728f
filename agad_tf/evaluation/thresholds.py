"""How a detector judges scores: the threshold it flags images by, and the probability it states.

Both are chosen on validation images, never on the test set.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from agad_tf.config.errors import UsageError
from agad_tf.config.options import parse_threshold
from agad_tf.evaluation.metrics import detection_metrics

NORMAL_QUANTILE = 0.99
# Scores of less spread than float32 can tell apart count as this far apart, as a share of their size.
_LEAST_SPREAD = 1e-6


class Decision(NamedTuple):
    """What turns a score into a verdict.

    Attributes:
        threshold: score at or above which an image is flagged.
        threshold_source: how it was chosen, for people.
        center: score of probability 0.5.
        slope: of the logistic curve, per unit of score, above 0.
        probability_source: what the probability is one of, for people.
    """

    threshold: float
    threshold_source: str
    center: float
    slope: float
    probability_source: str

    def probability(self, scores: np.ndarray | tf.Tensor) -> np.ndarray | tf.Tensor:
        """The probability of each score by this decision's curve.

        Args:
            scores: float array or tensor of any shape.

        Returns:
            Like `scores`, in [0, 1]; see the function `probability`.
        """
        return probability(scores, self.center, self.slope)


def probability(
    scores: np.ndarray | tf.Tensor, center: float | tf.Variable, slope: float | tf.Variable
) -> np.ndarray | tf.Tensor:
    """σ(slope · (score − center)), the logistic curve that turns a score into a probability.

    Args:
        scores: float array or tensor of any shape.
        center: score of probability 0.5.
        slope: of the curve, per unit of score, above 0.

    Returns:
        In [0, 1], rising with the score: an array for an array, of its shape and dtype; a tensor for a tensor.
    """
    logits = slope * (scores - center)
    return tf.sigmoid(logits) if tf.is_tensor(logits) else expit(logits)


def decide(labels: np.ndarray, scores: np.ndarray, rule: str = "auto") -> Decision:
    """Chooses threshold and probability on validation images.

    Args:
        labels: int (images,) of the validation images: 0 normal, 1 abnormal; at least one is normal.
        scores: float (images,), higher is more abnormal.
        rule: as `--threshold` gives it: "f1", the best F1; "fpr=0.01", the lowest threshold that flags no more than
            this share of normal images; "quantile=0.99", this quantile of the normal images' scores; a number, the
            threshold itself; "auto", "f1" where there are anomalies, else the quantile 0.99.

    Returns:
        The decision. Its probability is Platt's logistic regression where there are anomalies (that an image is one,
        where they are as frequent as among the validation images). Without any, nothing is known of them: then it is
        the share of normal images that score lower, by the logistic curve through their median and 0.99 quantile.

    Raises:
        UsageError: "f1" without anomalies, or a rule that is none.
    """
    threshold, threshold_source = _threshold(labels, scores, rule)
    center, slope, probability_source = _logistic_curve(labels, scores)
    return Decision(threshold, threshold_source, center, slope, probability_source)


def _threshold(labels: np.ndarray, scores: np.ndarray, rule: str) -> tuple[float, str]:
    try:
        kind, value = parse_threshold(rule)
    except ValueError as error:
        raise UsageError(f"--threshold={rule}: {error}") from error
    if kind == "auto":
        kind, value = ("f1", 0.0) if labels.any() else ("quantile", NORMAL_QUANTILE)
    normals = np.sort(scores[labels == 0])
    if kind == "f1":
        if not labels.any():
            raise UsageError(
                "--threshold=f1 needs labelled anomalies among the validation images; give --gamma above 0, or "
                "--threshold=quantile=0.99."
            )
        return detection_metrics(labels, scores)["threshold"], "best F1 on validation images"
    if kind == "fpr":
        flagged = int(value * len(normals))
        # Just above the highest normal score that must not be flagged.
        bound = np.nextafter(normals[len(normals) - flagged - 1], np.inf, dtype=normals.dtype)
        return float(bound), f"at most {value:g} of validation normals flagged"
    if kind == "quantile":
        return float(np.quantile(normals, value)), f"{value:g} quantile of validation normals"
    return value, "given by --threshold"


def _logistic_curve(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float, str]:
    if labels.any():
        middle, spread = float(np.mean(scores)), _at_least(float(np.std(scores)), scores)
        regression = LogisticRegression().fit((scores[:, np.newaxis] - middle) / spread, labels)
        slope = float(regression.coef_[0, 0]) / spread
        # A curve that falls says that the scores are of no use; a probability that falls as they rise would be of less.
        if slope > 0:
            return middle - float(regression.intercept_[0]) / slope, slope, "that it is abnormal"
    normals = scores[labels == 0]
    median, high = np.quantile(normals, [0.5, NORMAL_QUANTILE])
    slope = float(logit(NORMAL_QUANTILE)) / _at_least(float(high - median), normals)
    return float(median), slope, "share of normal images that score lower"


def _at_least(spread: float, scores: np.ndarray) -> float:
    return max(spread, _LEAST_SPREAD * max(float(np.abs(scores).max()), 1.0))
