"""What TensorBoard shows of a run: scalars, score histograms, weights, and images beside their reconstructions."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.stats import rankdata
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.histogram.metadata import create_summary_metadata
from tensorboard.plugins.hparams import api as hp
from tensorboard.plugins.pr_curve import summary as pr_curve
from tensorboard.util.tensor_util import make_tensor_proto

from agad_tf.config.seconds import CLOCK
from agad_tf.data.crops import at_size
from agad_tf.data.preprocessing import to_network_input, to_pixels
from agad_tf.data.scoring_batches import images_at_a_time
from agad_tf.data.splits import ABNORMAL, NORMAL, OneClassTask, Split
from agad_tf.models.agad import AGAD
from agad_tf.models.losses import ANOMALY_TERMS
from agad_tf.reporting.event_files import event_file

LABEL_NAMES = {NORMAL: "normal", ABNORMAL: "abnormal"}
COMPARED = {
    "auroc": "AUROC per image",
    "average_precision": "average precision",
    "fpr_at_95_tpr": "false positive rate at 95 % recall",
}
# Counted in training; these are neither losses nor figures of the validation images.
COUNTS = ("discriminator_resets", "skipped_steps")
THRESHOLDS = 200
BUCKETS = 30
GRID_IMAGES = 8
GRID_SCALE = 3
# Longest side in pixels of an image in a grid before that; larger images are shrunk.
GRID_SIDE = 256
GRID_ROWS = (
    "From the top: input x, reconstruction G(x) (of a normal image: the pseudo-anomaly), "
    "its reconstruction G(G(x)), and the error |x − G(x)|."
)


class Summaries(keras.callbacks.Callback):
    """Writes TensorBoard's scalars, images and histograms.

    Args:
        directory: of the event files.
        task: the images.
        validation_scores: returns the scores of the validation images after the epoch, float (images,).
    """

    def __init__(self, directory: Path, task: OneClassTask, validation_scores: Callable[[], np.ndarray]):
        super().__init__()
        self.directory = directory
        self.task = task
        self.validation_scores = validation_scores

    @CLOCK.within("TensorBoard")
    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Writes the summaries of the epoch; steps in TensorBoard are epochs, counted from 1."""
        without_anomalies = not self.task.train.labels.any()
        with event_file(self.directory, "epoch", epoch + 1):
            for name, value in logs.items():
                # Without anomalies, their mean loss is 0 and would look perfect. "loss" is the generator's.
                if name != "loss" and not (without_anomalies and name in ANOMALY_TERMS):
                    tf.summary.scalar(f"{group_of(name)}/{name}", np.array(value))  # an array, as above
            for network in ("generator", "discriminator"):
                rate = getattr(self.model, f"{network}_optimizer").learning_rate
                tf.summary.scalar(f"training/{network}_learning_rate", rate)
            write_histograms(
                {
                    f"weights/{network}/{variable.path}": variable.value
                    for network in ("generator", "discriminator")
                    for variable in getattr(self.model, network).variables
                }
            )
            validation, scores = self.task.validation, self.validation_scores()
            if not len(scores):
                # With a budget, not every epoch is scored.
                return
            write_scores_and_images(self.model, validation, scores, "validation")
            if validation.labels.any():
                write_precision_recall("validation", validation.labels, scores)


def group_of(name: str) -> str:
    """The group in which TensorBoard shows a scalar of the logs."""
    if name in COUNTS:
        return "training"
    return "validation" if name.startswith("validation_") else "losses"


@CLOCK.within("TensorBoard")
def write_test_summaries(
    directory: Path,
    run: str,
    settings: Mapping[str, Any],
    test: Split,
    scores: np.ndarray,
    figures: Mapping[str, float | None],
    model: AGAD | None = None,
) -> None:
    """Writes TensorBoard's summaries of the test set, at the step of the last epoch.

    Args:
        directory: of the event files.
        run: its name in the table that compares runs.
        settings: of the experiment; "epochs" is the step.
        test: the test set.
        scores: float (images,) of its images.
        figures: per image, of results.json.
        model: as the last epoch left it; without one there are no images, and no graph.
    """
    if model is not None:
        with event_file(directory, "test", settings["epochs"]):
            write_scores_and_images(model, test, scores, "test")
            write_graph(model)
    with event_file(directory, "figures", settings["epochs"]):
        write_figures(run, settings, figures, test, scores)


def write_scores_and_images(model: AGAD, split: Split, scores: np.ndarray, name: str) -> None:
    """Writes score histograms and image grids of a split, by label, to the current summary writer."""
    for label, label_name in LABEL_NAMES.items():
        chosen = split.labels == label
        if chosen.any():
            write_histograms({f"scores/{name}/{label_name}": scores[chosen]})
            shown = images_at_a_time(model.scoring_size, GRID_IMAGES)
            grid = image_grid(model, np.asarray(split.images[chosen][:shown]))
            tf.summary.image(f"{name}/{label_name}", grid, description=GRID_ROWS)


def write_histograms(values: Mapping[str, Any]) -> None:
    """Writes histograms to the current summary writer.

    The result equals that of `tf.summary.histogram`, which takes about forty operations and thirty float64 copies for
    each.

    Args:
        values: by name, float arrays or tensors of any shape, finite.
    """
    summary = Summary()
    for name, value in values.items():
        numbers = np.asarray(value, np.float64)
        try:
            counts, edges = np.histogram(numbers, BUCKETS)
        except ValueError:
            # The numbers are too large or too close to each other for separate bins.
            counts, edges = np.array([numbers.size]), np.array([numbers.min(), numbers.max()])
        buckets = make_tensor_proto(np.stack([edges[:-1], edges[1:], counts], axis=1))
        summary.value.add(tag=name, metadata=create_summary_metadata(None, None), tensor=buckets)
    tf.summary.experimental.write_raw_pb(summary.SerializeToString(), tf.summary.experimental.get_step())


def write_figures(
    run: str, settings: Mapping[str, Any], figures: Mapping[str, float | None], test: Split, scores: np.ndarray
) -> None:
    """Writes the run's row of TensorBoard's HParams table, and the test set's precision–recall curve.

    Without anomalies in the test set, the row has only the settings, and there is no curve.

    Args:
        run: its name in the table.
        settings: of the experiment.
        figures: per image, of results.json; None for figures that could not be measured.
        test: the test set.
        scores: float (images,).
    """
    columns = {name: value if isinstance(value, (bool, int, float)) else str(value) for name, value in settings.items()}
    metrics = [hp.Metric(f"per_image/{name}", display_name=title) for name, title in COMPARED.items()]
    hp.hparams_config([hp.HParam(name) for name in columns], metrics)
    hp.hparams(columns, trial_id=run)
    for name in COMPARED:
        if figures[name] is not None:
            tf.summary.scalar(f"per_image/{name}", figures[name])
    if test.labels.any():
        write_precision_recall("test", test.labels, scores)


def write_precision_recall(name: str, labels: np.ndarray, scores: np.ndarray) -> None:
    """Writes a precision–recall curve whose thresholds are ranks: shares of images that score lower.

    Args:
        name: of the images.
        labels: int (images,): 0 normal, 1 abnormal; both must occur.
        scores: float (images,).
    """
    shares = rankdata(scores, "max") / len(scores)
    curve = pr_curve.pb(name, labels.astype(bool), shares, num_thresholds=THRESHOLDS)
    step = tf.summary.experimental.get_step()
    tf.summary.experimental.write_raw_pb(curve.SerializeToString(), step)


def write_graph(model: AGAD) -> None:
    """Writes the graph that scores one image."""
    image = tf.TensorSpec((1, *model.scoring_shape), tf.float32)
    tf.summary.graph(tf.function(model.reconstruct_and_score, autograph=False).get_concrete_function(image).graph)


def image_grid(model: AGAD, images: np.ndarray) -> tf.Tensor:
    """A grid with a column for each image: x, G(x), G(G(x)) and |x − G(x)|.

    Args:
        model: the detector.
        images: uint8 (images, height, width, channels).

    Returns:
        float (1, height, width, channels) in [0, 1]. Small images are enlarged, and large ones shrunk.
    """
    height, width = model.scoring_size
    shrink = math.ceil(max(height, width) / GRID_SIDE)
    scale = GRID_SCALE if shrink == 1 else 1
    inputs = to_network_input(images, model.scoring_size)
    reconstruction = model(inputs, training=False)
    re_reconstruction = model(reconstruction, training=False)
    error = tf.abs(inputs - reconstruction) - 1.0
    shown = (height // shrink, width // shrink)
    faces = (at_size(each, shown) for each in (inputs, reconstruction, re_reconstruction, error))
    rows = [tf.concat(tf.unstack(row), axis=1) for row in faces]
    grid = to_pixels(tf.concat(rows, axis=0)[tf.newaxis]) / 255.0
    return tf.repeat(tf.repeat(grid, scale, axis=1), scale, axis=2)
