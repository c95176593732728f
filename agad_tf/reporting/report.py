"""The report of a run: one page that says how good the detector is, where it errs, and how it came about."""

import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd

from agad_tf.config.experiment import DEFAULTS
from agad_tf.data.preprocessing import to_network_input, to_uint8
from agad_tf.data.sources import Source
from agad_tf.data.splits import ABNORMAL, NORMAL, OneClassTask
from agad_tf.evaluation.localization import has_deviation_maps, scores_and_maps
from agad_tf.evaluation.results import AT_THRESHOLD, FIGURES, NO_ANOMALIES, ORACLE, threshold_uncertainty
from agad_tf.files.whole_files import write_whole
from agad_tf.files.workdir import Workdir
from agad_tf.models.agad import AGAD
from agad_tf.reporting.event_files import read_curves
from agad_tf.reporting.pages import png_uri, render
from agad_tf.reporting.plots import class_boxes, precision_recall_plot, roc_plot, score_histogram, training_plots

ERRORS_SHOWN = 8  # of each kind
NORMALS_SHOWN = 9
ABNORMAL_CLASSES_SHOWN = 9
ERROR_COLORS = "magma"


class Example(NamedTuple):
    """A test image as the page shows it.

    Attributes:
        id: position in the test set.
        kind: name of its class.
        score: of it, higher is more abnormal.
        flagged: whether the detector's threshold flags it.
        pictures: addresses that hold the image and, of a model, G(x), G(G(x)) and the error map.
    """

    id: int
    kind: str
    score: float
    flagged: bool
    pictures: list[str]


def write_report(
    workdir: Workdir,
    source: Source,
    task: OneClassTask,
    results: Mapping[str, Any],
    options: Mapping[str, Any],
    model: AGAD | None = None,
) -> None:
    """Writes report.html from what a run has left: its scores, event files and figures.

    Args:
        workdir: of the run, with scores.csv; event files that are missing or damaged leave their curves out.
        source: the data set.
        task: its images.
        results: the content of results.json.
        options: every option of the experiment with its value.
        model: as the last epoch left it; without one, reconstructions are left out.
    """
    test = _test_images(workdir, source, task, results["detector"]["threshold"])
    labels, scores = test["label"].to_numpy(), test["score"].to_numpy()
    detector = results["detector"]
    classes = _classes(test)
    normal_place = int(classes["label"].argmin())
    groups = {"normal": _typical_normals(test), **_errors(test)}
    plots = {}
    if task.has_test_anomalies:
        groups["abnormal"] = _typical_anomalies(test)
        plots = {
            "ROC: anomalies found for false alarms": roc_plot(labels, scores, detector),
            "Precision and recall": precision_recall_plot(labels, scores, detector),
        }
    examples, largest_error = _examples(test, task, groups, model)
    page = render(
        "report.html",
        results=results,
        detector=detector,
        figures=FIGURES,
        at_threshold=AT_THRESHOLD,
        oracle=ORACLE,
        classes=classes.to_dict("records"),
        normal_kind=classes["kind"].iloc[normal_place],
        counts={name: np.bincount(split.labels, minlength=2) for name, split in vars(task).items() if split},
        no_anomalies="" if task.has_test_anomalies else NO_ANOMALIES,
        threshold_uncertainty=threshold_uncertainty(detector),
        plots={
            **plots,
            "Scores by label": score_histogram(labels, scores, detector["threshold"]),
            "Scores by class": class_boxes(
                classes["kind"].tolist(),
                [scores[test["class"] == number] for number in classes.index],
                normal_place,
                detector["threshold"],
            ),
        },
        training=training_plots(read_curves(workdir.tensorboard)),
        examples=examples,
        largest_error=largest_error,
        error_scale=png_uri(_in_colors(np.linspace(0, 1, 64)[np.newaxis])),
        pseudo_anomalies=model is not None and options["method"] == "agad" and options["contextual_adversarial"],
        is_baseline=model is None,
        maps_are_deviations=model is not None and has_deviation_maps(model),
        settings=_settings(options),
        config_path=shlex.quote(str(workdir.config)),
    )
    write_whole(workdir.report, lambda file: file.write(page))


def _test_images(workdir: Workdir, source: Source, task: OneClassTask, threshold: float) -> pd.DataFrame:
    """Id, label, score, class, its name as "kind", and whether it is flagged, in the order of the test set."""
    test = pd.read_csv(workdir.scores).rename(columns={"image_id": "id", "anomaly_score": "score"})
    test["class"] = source.y_test[task.test.ids]
    names = source.class_names
    test["kind"] = [names[number] if names else f"class {number}" for number in test["class"]]
    return test.assign(flagged=test["score"] >= threshold)


def _classes(test: pd.DataFrame) -> pd.DataFrame:
    return test.groupby("class").agg(
        kind=("kind", "first"),
        label=("label", "first"),
        images=("id", "size"),
        median=("score", "median"),
        flagged=("flagged", "mean"),
    )


def _typical_normals(test: pd.DataFrame) -> pd.DataFrame:
    """Normal images from the lowest to the highest of scores, at equal distances in rank."""
    normals = test[test["label"] == NORMAL].sort_values("score", kind="stable")
    ranks = np.linspace(0, len(normals) - 1, min(NORMALS_SHOWN, len(normals))).round().astype(int)
    return normals.iloc[ranks]


def _typical_anomalies(test: pd.DataFrame) -> pd.DataFrame:
    """Of each abnormal class, or of as many as are shown, the image whose score is the median."""
    ordered = test[test["label"] == ABNORMAL].sort_values("score", kind="stable")
    typical = pd.concat([group.iloc[[(len(group) - 1) // 2]] for _, group in ordered.groupby("class")])
    places = np.linspace(0, len(typical) - 1, min(ABNORMAL_CLASSES_SHOWN, len(typical))).round().astype(int)
    return typical.iloc[places]


def _errors(test: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The normal images of highest scores, and the abnormal ones of lowest, the worst first."""
    ordered = test.sort_values("score", kind="stable")
    return {
        "false_positives": ordered[ordered["label"] == NORMAL].iloc[::-1][:ERRORS_SHOWN],
        "false_negatives": ordered[ordered["label"] == ABNORMAL][:ERRORS_SHOWN],
    }


def _examples(
    test: pd.DataFrame, task: OneClassTask, groups: dict[str, pd.DataFrame], model: AGAD | None
) -> tuple[dict[str, list[Example]], float]:
    """Draws the pictures of all groups at once, as their error maps share a scale.

    Returns:
        The examples of each group, and the largest error in their maps, as a share of the range of pixel
        values, or in deviations.
    """
    # The index of a row is the place of its image in the test set.
    rows = np.concatenate([group.index.to_numpy() for group in groups.values()])
    images = np.asarray(task.test.images[rows])
    columns, largest_error = [list(images)], 0.0
    if model is not None:
        inputs = to_network_input(images, model.scoring_size)
        reconstruction, _, maps = scores_and_maps(model, inputs)
        re_reconstruction = model(reconstruction, training=False)
        error = np.maximum(maps.numpy(), 0)
        error = error if has_deviation_maps(model) else error / 255
        largest_error = float(error.max())
        columns = [list(to_uint8(each)) for each in (inputs, reconstruction, re_reconstruction)]
        columns.append(list(_in_colors(error / max(largest_error, np.finfo(np.float32).tiny))))
    pictures = iter([[png_uri(picture) for picture in row] for row in zip(*columns, strict=True)])
    examples = {
        name: [
            Example(row.id, row.kind, row.score, row.flagged, next(pictures))  # type: ignore[arg-type]
            for row in group.itertuples()
        ]
        for name, group in groups.items()
    }
    return examples, largest_error


def _in_colors(shares: np.ndarray) -> np.ndarray:
    """From float (…) in [0, 1] to RGB, uint8 (…, 3)."""
    return mpl.colormaps[ERROR_COLORS](shares, bytes=True)[..., :3]


def _settings(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every option with its value, and whether that is the default."""
    return [
        {"name": name, "value": value, "changed": value != DEFAULTS[name]}
        for name, value in options.items()
        if name != "mode"
    ]
