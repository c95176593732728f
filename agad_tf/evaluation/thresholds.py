"""How a detector judges scores: its threshold, and the probability that it reports.

Both are chosen on validation images and never on test images.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import expit, logit
from scipy.stats import beta
from sklearn.linear_model import LogisticRegression

from agad_tf.config.errors import UsageError
from agad_tf.config.options import parse_threshold
from agad_tf.evaluation.metrics import CONFIDENCE, detection_metrics

NORMAL_QUANTILE = 0.99
# A threshold that rests on fewer normal images than this gets a warning.
FEW_NORMALS = 50
# So does the threshold of the best F1 with fewer anomalies than this.
FEW_ANOMALIES = 10
# Least spread of scores that is assumed, as a share of their size; float32 cannot resolve less.
_LEAST_SPREAD = 1e-6


class Decision(NamedTuple):
    """Flags images by their scores, and turns a score into a probability.

    Attributes:
        threshold: score at or above which an image is flagged.
        threshold_source: how it was chosen, as a phrase.
        center: score of probability 0.5.
        slope: of the logistic curve, per unit of score, above 0.
        probability_source: what the probability means, as a phrase.
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
        The decision. With anomalies, its probability is that of an anomaly by Platt's logistic regression, if anomalies
        are as frequent as among the validation images. Without anomalies, it is the share of normal images that score
        lower, by the logistic curve through their median and 0.99 quantile.

    Raises:
        UsageError: "f1" without anomalies, or an unknown rule.
    """
    threshold, threshold_source = _threshold(labels, scores, rule)
    center, slope, probability_source = _logistic_curve(labels, scores)
    return Decision(threshold, threshold_source, center, slope, probability_source)


def flagged_share_interval(
    normal_scores: np.ndarray, threshold: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """The share of all normal images that a threshold will flag, estimated from a sample of normal images.

    The interval is exact for any distribution of scores without ties. For a threshold that was given, it is Clopper and
    Pearson's interval for the share of the sample at or above it. If the threshold is the k-th lowest of the n scores
    of the sample itself, the share above it is distributed as Beta(n - k + 1, k). Between two scores, the interval
    covers both cases, which is again Clopper and Pearson's.

    Args:
        normal_scores: float (images,), at least one; the threshold may have been chosen on them as a quantile.
        threshold: score at or above which an image is flagged.
        confidence: of the interval, in (0, 1).

    Returns:
        Lower and upper end, shares in [0, 1].
    """
    count = len(normal_scores)
    flagged, above = (int(np.sum(chosen)) for chosen in (normal_scores >= threshold, normal_scores > threshold))
    # If several images have exactly the threshold's score, the distribution may not be continuous there.
    most = flagged if flagged > above + 1 else above
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, flagged, count - flagged + 1)) if flagged else 0.0
    high = float(beta.ppf(1 - tail, most + 1, count - most)) if most < count else 1.0
    return low, high


def threshold_basis(labels: np.ndarray, scores: np.ndarray, threshold: float, rule: str) -> dict[str, Any]:
    """How many images a threshold rests on, and how certain it is.

    Args:
        labels: int (images,) of the validation images: 0 normal, 1 abnormal.
        scores: float (images,) of them.
        threshold: chosen on them by `decide`.
        rule: by which it was chosen, see `decide`.

    Returns:
        "threshold_normals", the number of normal images that the threshold rests on, None if it was given or has the
        best F1; "threshold_anomalies", the number of anomalies, for the best F1 only; "expected_flagged_low" and
        "expected_flagged_high", shares of normal images in [0, 1], see `flagged_share_interval`, None for the best F1,
        which depends on the anomalies as well.
    """
    kind, _ = _kind_of(rule, labels)
    normals = scores[labels == 0]
    low, high = (None, None) if kind == "f1" else flagged_share_interval(normals, threshold)
    return {
        "threshold_normals": len(normals) if kind in ("quantile", "fpr") else None,
        "threshold_anomalies": int(np.sum(labels == 1)) if kind == "f1" else None,
        "expected_flagged_low": low,
        "expected_flagged_high": high,
    }


def _kind_of(rule: str, labels: np.ndarray) -> tuple[str, float]:
    """Kind and value of a rule for these labels: "f1", "fpr", "quantile" or "value"."""
    try:
        kind, value = parse_threshold(rule)
    except ValueError as error:
        raise UsageError(f"--threshold={rule}: {error}") from error
    if kind == "auto":
        return ("f1", 0.0) if labels.any() else ("quantile", NORMAL_QUANTILE)
    return kind, value


def _threshold(labels: np.ndarray, scores: np.ndarray, rule: str) -> tuple[float, str]:
    kind, value = _kind_of(rule, labels)
    normals = np.sort(scores[labels == 0])
    if kind == "f1":
        if not labels.any():
            raise UsageError(
                "--threshold=f1 needs labelled anomalies among the validation images; give --gamma above 0, or "
                "--threshold=quantile=0.99."
            )
        return detection_metrics(labels, scores)["oracle_threshold"], "best F1 on validation images"
    if kind == "fpr":
        flagged = int(value * len(normals))
        # The smallest value above the highest normal score that must not be flagged.
        bound = np.nextafter(normals[len(normals) - flagged - 1], np.inf, dtype=normals.dtype)
        return float(bound), f"at most {value:g} of normal validation images flagged"
    if kind == "quantile":
        return float(np.quantile(normals, value)), f"{value:g} quantile of normal validation images"
    return value, "given by --threshold"


def _logistic_curve(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float, str]:
    if labels.any():
        middle, spread = float(np.mean(scores)), _at_least(float(np.std(scores)), scores)
        regression = LogisticRegression().fit((scores[:, np.newaxis] - middle) / spread, labels)
        slope = float(regression.coef_[0, 0]) / spread
        # A falling curve means useless scores, but a probability that falls with the score would be misleading.
        if slope > 0:
            return middle - float(regression.intercept_[0]) / slope, slope, "that it is abnormal"
    normals = scores[labels == 0]
    median, high = np.quantile(normals, [0.5, NORMAL_QUANTILE])
    slope = float(logit(NORMAL_QUANTILE)) / _at_least(float(high - median), normals)
    return float(median), slope, "share of normal images that score lower"


def _at_least(spread: float, scores: np.ndarray) -> float:
    return max(spread, _LEAST_SPREAD * max(float(np.abs(scores).max()), 1.0))
