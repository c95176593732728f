"""Metrics of anomaly scores."""

import numpy as np
from scipy.stats import bootstrap
from sklearn.metrics import average_precision_score, confusion_matrix, precision_recall_curve, roc_auc_score, roc_curve

BOOTSTRAP_RESAMPLES = 1000
# All at once would take 160 MB for a test set of 20,000 images.
RESAMPLES_TOGETHER = 50
CONFIDENCE = 0.95
DETECTION_FIGURES = (
    *("auroc", "auroc_low", "auroc_high", "average_precision", "fpr_at_95_tpr", "oracle_f1", "oracle_threshold"),
)
"""Names of what `detection_metrics` returns."""


def detection_metrics(labels: np.ndarray, scores: np.ndarray, seed: int = 0) -> dict[str, float]:
    """How well scores separate abnormal from normal images.

    Args:
        labels: int (images,): 0 normal, 1 abnormal; both kinds must be there.
        scores: float (images,), higher is more abnormal, finite.
        seed: of the bootstrap.

    Returns:
        All as fractions: "auroc" with its 95 % bootstrap interval from "auroc_low" to "auroc_high" (normal and abnormal
        images are resampled separately), "average_precision", "fpr_at_95_tpr", the best F1 over all thresholds,
        "oracle_f1", which is chosen by these labels, and the "oracle_threshold" it is reached at, in
        units of the score: images at or above it count as abnormal.

    Raises:
        ValueError: one kind of image is missing, or a score is not finite.
    """
    if set(np.unique(labels)) != {0, 1}:
        raise ValueError("AUROC compares normal with abnormal images; labels must contain both 0 and 1.")
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    # The last point of the curve has no threshold. Without true positives, precision and recall are 0.
    f1 = 2 * precision[:-1] * recall[:-1] / np.maximum(precision[:-1] + recall[:-1], np.finfo(float).tiny)
    best = int(np.argmax(f1))
    # All points: dropping collinear ones could drop the first at 95 %.
    false_positive_rate, true_positive_rate, _ = roc_curve(labels, scores, drop_intermediate=False)
    auroc = float(roc_auc_score(labels, scores))
    low, high = _auroc_interval(scores[labels == 0], scores[labels == 1], seed)
    return {
        "auroc": auroc,
        "auroc_low": low,
        "auroc_high": high,
        "average_precision": float(average_precision_score(labels, scores)),
        "fpr_at_95_tpr": float(false_positive_rate[np.argmax(true_positive_rate >= 0.95)]),
        "oracle_f1": float(f1[best]),
        "oracle_threshold": float(thresholds[best]),
    }


def figures_at(labels: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float | int | None]:
    """How well one threshold separates abnormal from normal images.

    Args:
        labels: int (images,): 0 normal, 1 abnormal; at least one is normal.
        scores: float (images,), higher is more abnormal.
        threshold: score at or above which an image is flagged.

    Returns:
        Numbers of images: "true_positives", "false_positives", "true_negatives" and "false_negatives". In [0, 1]:
        "false_positive_rate"; "true_positive_rate", which is the "recall" too; "precision", the share of flagged images
        that are abnormal; and "f1". Figures that need anomalies are None without any, and the precision is None if
        nothing is flagged.
    """
    (passed, false), (missed, found) = confusion_matrix(labels, scores >= threshold, labels=[0, 1]).tolist()
    recall = found / (found + missed) if found + missed else None
    return {
        "true_positives": found,
        "false_positives": false,
        "true_negatives": passed,
        "false_negatives": missed,
        "false_positive_rate": false / (false + passed),
        "true_positive_rate": recall,
        "recall": recall,
        "precision": found / (found + false) if found + missed and found + false else None,
        "f1": 2 * found / (2 * found + false + missed) if found + missed else None,
    }


def _auroc_interval(normal: np.ndarray, abnormal: np.ndarray, seed: int) -> tuple[float, float]:
    if min(len(normal), len(abnormal)) < 2:
        # A single image can be resampled in only one way, so the spread is unknown.
        return 0.0, 1.0
    # AUROC depends only on the order of scores, so they are sorted once, not for each resample.
    values, ranks = np.unique(np.concatenate([normal, abnormal]), return_inverse=True)

    def auroc(normal_ranks: np.ndarray, abnormal_ranks: np.ndarray) -> float:
        counts = np.bincount(normal_ranks, minlength=len(values))
        lower_or_half_of_equal = np.cumsum(counts) - counts / 2
        return float(lower_or_half_of_equal[abnormal_ranks].mean() / len(normal_ranks))

    interval = bootstrap(
        np.split(ranks, [len(normal)]),
        auroc,
        n_resamples=BOOTSTRAP_RESAMPLES,
        batch=RESAMPLES_TOGETHER,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=False,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)
