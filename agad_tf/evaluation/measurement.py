"""The figures of a run: every protocol's scores of the test set, and what results.json says of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from agad_tf.config.experiment import ExperimentConfig
from agad_tf.data.images_in_files import Images, Pictures, read_picture
from agad_tf.data.scoring_batches import scoring_batches
from agad_tf.data.sources import Source
from agad_tf.data.splits import ABNORMAL, NORMAL, OneClassTask, Split
from agad_tf.evaluation.collapse import collapse_signs
from agad_tf.evaluation.family_scores import read_family_scores
from agad_tf.evaluation.localization import PixelMetrics, at_size, smoothed_error_maps
from agad_tf.evaluation.metrics import detection_metrics
from agad_tf.evaluation.results import versions, write_scores
from agad_tf.evaluation.scorer import PROTOCOLS, Scorer
from agad_tf.evaluation.thresholds import Decision, decide
from agad_tf.files.workdir import Workdir
from agad_tf.models.agad import AGAD
from agad_tf.reporting.event_files import event_file, read_curves
from agad_tf.reporting.tensorboard import write_figures, write_graph, write_scores_and_images

# So many validation images say what errors are usual.
SCALE_IMAGES = 256


def measure_model(
    config: ExperimentConfig,
    workdir: Workdir,
    source: Source,
    task: OneClassTask,
    model: AGAD,
    seconds: float,
    learning_rate_scale: float,
) -> dict[str, Any]:
    """Scores the test set under all protocols, writes scores.csv and the test set's summaries.

    Args:
        config: the experiment.
        workdir: of the run, with what training has kept of its epochs.
        source: the data set.
        task: its images.
        model: as the last epoch left it.
        seconds: spent in epochs.
        learning_rate_scale: what the learning rate was lowered to as training diverged, as a share; else 1.

    Returns:
        The content of results.json.
    """
    scorer = Scorer(model, config.batch_size, progress=True)
    test_scores = scorer.per_image(task.test.images)
    validation_scores = scorer.per_image(task.validation.images)
    best_labels, best_scores, best_epoch = read_family_scores(workdir.family_scores)
    protocols = {
        "family_shuffled": {
            **detection_metrics(task.test.labels, scorer.family_shuffled(task.test, config.seed), config.seed),
            "epoch": config.epochs,
        },
        "family": {
            **detection_metrics(best_labels, best_scores, config.seed),
            "epoch": best_epoch,
            # What the choice of an epoch on the test set has added is the difference.
            "last_epoch_auroc": float(roc_auc_score(*scorer.family(task.test))),
        },
    }
    curves = read_curves(workdir.tensorboard)
    with event_file(workdir.tensorboard, "test", config.epochs):
        write_scores_and_images(model, task.test, test_scores, "test")
        write_graph(model)
    results = _results(config, workdir, source, task, (validation_scores, test_scores), seconds, protocols)
    results["protocols"]["per_image"] |= localization_metrics(model, task.test, source)
    return {
        **results,
        "error_map_scale": error_map_scale(model, task.validation),
        "warnings": list(_warnings(curves, learning_rate_scale)),
    }


def measure_baseline(
    config: ExperimentConfig,
    workdir: Workdir,
    source: Source,
    task: OneClassTask,
    scores: tuple[np.ndarray, np.ndarray],
    seconds: float,
) -> dict[str, Any]:
    """Writes scores.csv of a baseline, whose images are scored one by one in any case.

    Args:
        config: the experiment.
        workdir: of the run.
        source: the data set.
        task: its images.
        scores: float (images,) of the validation images and of the test images, higher is more abnormal.
        seconds: spent on fitting and scoring.

    Returns:
        The content of results.json.
    """
    return _results(config, workdir, source, task, scores, seconds, {})


def _results(
    config: ExperimentConfig,
    workdir: Workdir,
    source: Source,
    task: OneClassTask,
    scores: tuple[np.ndarray, np.ndarray],
    seconds: float,
    protocols: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    validation_scores, test_scores = scores
    settings = config.settings_read()
    decision = decide(task.validation.labels, validation_scores, config.threshold)
    write_scores(workdir.scores, task.test, test_scores, source.test_names)
    per_image = {
        **detection_metrics(task.test.labels, test_scores, config.seed),
        "epoch": settings["epochs"],
        **_seen_and_unseen(task.test, test_scores, source, config.anomaly_classes),
    }
    with event_file(workdir.tensorboard, "figures", config.epochs):
        write_figures(workdir.root.name, config.settings(), per_image, task.test, test_scores)
    protocols = {"per_image": per_image, **protocols}
    return {
        **settings,
        "data_origin": source.origin,
        "channels": source.channels,
        "versions": versions(),
        "seconds": round(seconds, 1),
        "detector": {**decision._asdict(), **_shares_flagged(task.test.labels, test_scores >= decision.threshold)},
        "warnings": [],
        "protocols": {name: {**figures, "labels_leak": PROTOCOLS[name]} for name, figures in protocols.items()},
    }


def _warnings(curves: dict[str, dict[int, float]], learning_rate_scale: float) -> Iterator[str]:
    """What of training a user should know before trusting the detector."""
    if skipped := sum(curves.get("skipped_steps", {}).values()):
        yield f"{skipped:.0f} training steps were left out, as a loss or gradient was not finite."
    if learning_rate_scale < 1:
        yield f"Training diverged, and went on with {learning_rate_scale:.1g} times the learning rate."
    last = {name: curve[max(curve)] for name, curve in curves.items()}
    yield from (f"After the last epoch {sign}" for sign in collapse_signs(last))


def localization_metrics(model: AGAD, test: Split, source: Source) -> dict[str, float]:
    """How well error maps agree with the masks of a test set, at the pictures' own size.

    Args:
        model: the detector.
        test: the test set.
        source: with masks, or without any.

    Returns:
        See `PixelMetrics.result`. Abnormal pictures without a mask are left out.
    """
    if not source.test_masks or not isinstance(test.images, Pictures):
        return {}
    metrics = PixelMetrics()
    known = (test.labels == NORMAL) | np.isin(test.ids, list(source.test_masks))
    pictures = test.images[known]
    error_maps = tqdm(_error_maps(model, pictures), "comparing with masks", len(pictures), delay=1, leave=False)
    for row, path, error_map in zip(test.ids[known], pictures.paths, error_maps, strict=True):
        pixels = read_picture(str(source.test_masks.get(row, path)), channels=1)[..., 0]
        mask = pixels > 0 if row in source.test_masks else np.zeros_like(pixels, bool)
        metrics.add(at_size(error_map, *mask.shape), mask)
    return metrics.result()


def error_map_scale(model: AGAD, validation: Split) -> float:
    """The error that error maps are drawn with the brightest colour from.

    Args:
        model: the detector.
        validation: its normal images say what errors are usual.

    Returns:
        Twice the median, over normal images, of the largest smoothed error, in (0, 255].
    """
    normals = validation.of_label(NORMAL).images[:SCALE_IMAGES]
    largest = [float(error_map.max()) for error_map in _error_maps(model, normals)]
    return float(np.clip(2 * np.median(largest), 1.0, 255.0))


def _error_maps(model: AGAD, images: Images) -> Iterator[np.ndarray]:
    for inputs in scoring_batches(images, model.generator.input_shape[1]):
        reconstruction, _ = model.reconstruct_and_score(inputs)
        yield from smoothed_error_maps(inputs, reconstruction).numpy()


def _shares_flagged(labels: np.ndarray, flagged: np.ndarray) -> dict[str, float]:
    return {
        "false_positive_rate": float(flagged[labels == NORMAL].mean()),
        "true_positive_rate": float(flagged[labels == ABNORMAL].mean()),
    }


def decision_of(results: dict[str, Any]) -> Decision:
    """How the detector of a run judges scores.

    Args:
        results: content of results.json.
    """
    return Decision(**{name: results["detector"][name] for name in Decision._fields})


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
