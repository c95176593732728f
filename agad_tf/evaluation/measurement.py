"""Measures a detector on the test set under every protocol."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from agad_tf.config.choices import PROTOCOLS
from agad_tf.config.seconds import CLOCK
from agad_tf.data.local_anomalies import add_local_anomalies
from agad_tf.data.preprocessing import to_network_input, to_pixels
from agad_tf.data.scoring_batches import images_at_a_time
from agad_tf.data.sources import Source
from agad_tf.data.splits import ABNORMAL, NORMAL, OneClassTask, Split
from agad_tf.data.synthetic_anomalies import synthetic_images
from agad_tf.evaluation.error_maps import error_map_scale, localization_metrics
from agad_tf.evaluation.family_scores import FamilyScores
from agad_tf.evaluation.metrics import DETECTION_FIGURES, detection_metrics, figures_at
from agad_tf.evaluation.scorer import Scorer
from agad_tf.evaluation.thresholds import Decision, decide, threshold_basis
from agad_tf.models.agad import AGAD

# Synthetic anomalies for measurement are made from at most this many held-out normal images.
SYNTHETIC_IMAGES = 1000
# Local anomalies are made from at most this many.
LOCAL_IMAGES = 200


class Measurement(NamedTuple):
    """All measured figures and scores of a detector.

    Attributes:
        test_scores: float (images,), of each test image by itself; higher is more abnormal.
        validation_scores: the same of each validation image.
        decision: how the detector judges scores, chosen on the validation images.
        threshold_basis: the images that the threshold was chosen on, see
            `agad_tf.evaluation.thresholds.threshold_basis`.
        at_threshold: figures of the test images at the threshold, see `agad_tf.evaluation.metrics.figures_at`.
        protocols: the figures of each protocol by its name, "per_image" first. Without anomalies in the test set it is
            the only one, and figures that need anomalies are None.
        error_map_scale: the error from which error maps show the brightest colour; None without error maps.
    """

    test_scores: np.ndarray
    validation_scores: np.ndarray
    decision: Decision
    threshold_basis: dict[str, Any]
    at_threshold: dict[str, float | int | None]
    protocols: dict[str, dict[str, Any]]
    error_map_scale: float | None = None


@CLOCK.within("figures")
def measure_model(
    model: AGAD,
    source: Source,
    task: OneClassTask,
    family: FamilyScores | None,
    *,
    epochs: int,
    batch_size: int,
    threshold: str,
    anomaly_classes: tuple[int | str, ...],
    synthetic_anomalies: tuple[str, ...],
    seed: int,
    protocols: tuple[str, ...] = PROTOCOLS,
) -> Measurement:
    """Scores the test set by the given protocols, or only by "per_image" if it has no anomalies.

    Args:
        model: as the last epoch left it.
        source: the data set.
        task: its images.
        family: test scores of the epoch that the family protocol reports; None without that protocol.
        epochs: that the model was trained for.
        batch_size: images that are scored at a time.
        threshold: rule for the threshold, see `agad_tf.evaluation.thresholds.decide`.
        anomaly_classes: classes that labelled anomalies were drawn from; empty means all but the normal one.
        synthetic_anomalies: kinds that the model was trained with; empty means none.
        seed: of the order that images are scored in, and of the bootstrap.
        protocols: of `agad_tf.config.choices.PROTOCOLS`.

    Returns:
        The measurement.
    """
    scorer = Scorer(model, batch_size, progress=True)
    with CLOCK.within("test scores"):
        test_scores = scorer.per_image(task.test.images)
    with CLOCK.within("validation scores"):
        validation_scores = scorer.per_image(task.validation.images)
    measured = _measure_scores(source, task, validation_scores, test_scores, threshold, anomaly_classes, seed)
    measured = measured._replace(error_map_scale=error_map_scale(model, task.validation))
    per_image = {
        **measured.protocols["per_image"],
        "epoch": epochs,
        **localization_metrics(model, task.test, source.test_masks),
    }
    found = {"per_image": per_image}
    if not task.has_test_anomalies:
        if synthetic_anomalies:
            per_image |= _against_synthetic_anomalies(scorer, task.test, test_scores, synthetic_anomalies, seed)
        per_image |= _against_local_anomalies(scorer, task.test, test_scores, seed)
        return measured._replace(protocols=found)
    if "family_shuffled" in protocols:
        with CLOCK.within("test scores"):
            shuffled = scorer.family_shuffled(task.test, seed)
        found["family_shuffled"] = {**detection_metrics(task.test.labels, shuffled, seed), "epoch": epochs}
    if family is not None:
        with CLOCK.within("test scores"):
            of_last_epoch = scorer.family(task.test)
        found["family"] = {
            **detection_metrics(family.labels, family.scores, seed),
            "epoch": family.epoch,
            # The difference is the gain from choosing an epoch on the test set.
            "last_epoch_auroc": float(roc_auc_score(*of_last_epoch)),
        }
    return measured._replace(protocols=found)


def measure_baseline(
    source: Source,
    task: OneClassTask,
    validation_scores: np.ndarray,
    test_scores: np.ndarray,
    *,
    threshold: str,
    anomaly_classes: tuple[int | str, ...],
    seed: int,
) -> Measurement:
    """Measures a baseline by its scores; it scores images one by one, so there is one protocol.

    Args:
        source: the data set.
        task: its images.
        validation_scores: float (images,) of the validation images; higher is more abnormal.
        test_scores: float (images,) of the test images.
        threshold: rule for the threshold, see `agad_tf.evaluation.thresholds.decide`.
        anomaly_classes: classes that labelled anomalies were drawn from; empty means all but the normal one.
        seed: of the bootstrap.

    Returns:
        The measurement.
    """
    return _measure_scores(source, task, validation_scores, test_scores, threshold, anomaly_classes, seed)


def _measure_scores(
    source: Source,
    task: OneClassTask,
    validation_scores: np.ndarray,
    test_scores: np.ndarray,
    threshold: str,
    anomaly_classes: tuple[int | str, ...],
    seed: int,
) -> Measurement:
    labels = task.test.labels
    decision = decide(task.validation.labels, validation_scores, threshold)
    basis = threshold_basis(task.validation.labels, validation_scores, decision.threshold, threshold)
    per_image = {
        **(detection_metrics(labels, test_scores, seed) if labels.any() else _of_normals_alone(test_scores)),
        "epoch": None,
        **_seen_and_unseen(task.test, test_scores, source, anomaly_classes),
    }
    at_threshold = figures_at(labels, test_scores, decision.threshold)
    return Measurement(test_scores, validation_scores, decision, basis, at_threshold, {"per_image": per_image})


def _of_normals_alone(scores: np.ndarray) -> dict[str, Any]:
    """Figures of a test set without anomalies; None for those that need anomalies."""
    lowest, median, highest = (float(quantile) for quantile in np.quantile(scores, [0, 0.5, 1]))
    return {
        **dict.fromkeys(DETECTION_FIGURES),
        "normal_images": len(scores),
        "normal_score_lowest": lowest,
        "normal_score_median": median,
        "normal_score_highest": highest,
    }


def _against_synthetic_anomalies(
    scorer: Scorer, test: Split, scores: np.ndarray, kinds: tuple[str, ...], seed: int
) -> dict[str, float]:
    """AUROC of held-out normal images against anomalies made from them.

    It shows how well the detector finds what it was trained on, not how well it finds real anomalies.
    """
    rows = _spread(len(scores), SYNTHETIC_IMAGES)
    made = scorer.per_image(synthetic_images(test.images[rows], scorer.image_size, kinds))
    return _auroc_against(made, "synthetic", scores, seed)


def _against_local_anomalies(scorer: Scorer, test: Split, scores: np.ndarray, seed: int) -> dict[str, float]:
    """AUROC of held-out normal images against copies of them with artificial flaws, the same at every call.

    It shows how well such flaws are found, not how well real anomalies are found.
    """
    rows = _spread(len(scores), LOCAL_IMAGES)
    # At least two: the content of a flaw comes from another image.
    together = max(2, images_at_a_time(scorer.image_size))
    made = [np.empty(0, np.float32)]
    for start in range(0, len(rows), together):
        inputs = to_network_input(np.asarray(test.images[rows[start : start + together]]), scorer.image_size)
        seeds = tf.range(start, start + len(inputs), dtype=tf.int32)
        altered, masks = add_local_anomalies(inputs, tf.roll(inputs, 1, axis=0), seeds)
        # A flaw may be invisible in a uniform image.
        is_altered = masks.numpy().any(axis=(1, 2, 3))
        if is_altered.any():
            made.append(scorer.per_image(to_pixels(altered.numpy()[is_altered])))
    return _auroc_against(np.concatenate(made), "local", scores, seed)


def _spread(count: int, most: int) -> np.ndarray:
    """At most `most` positions in [0, count), equally spaced."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))


def _auroc_against(made: np.ndarray, name: str, scores: np.ndarray, seed: int) -> dict[str, float]:
    """AUROC of the scores of normal images against those of anomalies, with its interval; empty without anomalies."""
    if not len(made):
        return {}
    labels = np.repeat([NORMAL, ABNORMAL], [len(scores), len(made)])
    figures = detection_metrics(labels, np.concatenate([scores, made]), seed)
    return {f"{name}_{figure}": figures[figure] for figure in ("auroc", "auroc_low", "auroc_high")}


def _seen_and_unseen(
    test: Split, scores: np.ndarray, source: Source, anomaly_classes: tuple[int | str, ...]
) -> dict[str, float]:
    """AUROC of the normal images against anomalies of labelled classes, and against those of all others."""
    if not anomaly_classes:
        return {}
    seen = np.isin(source.y_test[test.ids], [source.class_number(name) for name in anomaly_classes])
    figures = {}
    for name, kind in (("auroc_seen", seen), ("auroc_unseen", ~seen)):
        chosen = (test.labels == NORMAL) | kind
        if (test.labels[chosen] == ABNORMAL).any():
            figures[name] = float(roc_auc_score(test.labels[chosen], scores[chosen]))
    return figures
