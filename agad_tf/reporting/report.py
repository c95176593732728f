"""The report of a run: one page with the quality of the detector, its errors, and the course of training."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from agad_tf.config.choices import OWN_SETS
from agad_tf.config.experiment import DEFAULTS
from agad_tf.config.seconds import CLOCK
from agad_tf.data.sources import Source
from agad_tf.data.splits import ABNORMAL, NORMAL, OneClassTask, Split
from agad_tf.evaluation.localization import has_deviation_maps
from agad_tf.evaluation.results import AT_THRESHOLD, FIGURES, NO_ANOMALIES, ORACLE, threshold_uncertainty
from agad_tf.files.whole_files import write_whole
from agad_tf.files.workdir import Workdir
from agad_tf.models.agad import AGAD
from agad_tf.reporting.event_files import read_curves
from agad_tf.reporting.pages import png_uri, render
from agad_tf.reporting.plots import class_boxes, precision_recall_plot, roc_plot, score_histogram, training_plots
from agad_tf.reporting.strip import Look, in_colors, look_at, strip_pictures, strip_rows

ERRORS_SHOWN = 8  # of each kind
NORMALS_SHOWN = 9
ABNORMAL_CLASSES_SHOWN = 9


class Example(NamedTuple):
    """A test image on the page.

    Attributes:
        id: position in the test set.
        kind: name of its class.
        score: of it, higher is more abnormal.
        flagged: whether the detector's threshold flags it.
        pictures: `data:` URIs of the image and, with a model, of G(x), G(G(x)) and the error map.
    """

    id: int
    kind: str
    score: float
    flagged: bool
    pictures: list[str]


@CLOCK.within("report")
def write_report(
    workdir: Workdir,
    source: Source,
    task: OneClassTask,
    results: Mapping[str, Any],
    options: Mapping[str, Any],
    model: AGAD | None = None,
) -> None:
    """Writes report.html from the scores, event files and figures of a run.

    Args:
        workdir: of the run, with scores.csv; without event files, or with damaged ones, curves are missing.
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
            "ROC: anomalies found against false alarms": roc_plot(labels, scores, detector),
            "Precision and recall": precision_recall_plot(labels, scores, detector),
        }
    large = strip_rows(test) if model is not None and results["dataset"] in OWN_SETS else test[:0]
    looks = _looks(task, model, pd.concat([*groups.values(), large]).index)
    largest_error = max((look.largest_error for look in looks.values()), default=0.0)
    examples = {name: _examples(group, task, looks, largest_error) for name, group in groups.items()}
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
        strip=_strip(large, task.test, looks, largest_error, source.test_masks),
        largest_error=largest_error,
        error_scale=png_uri(in_colors(np.linspace(0, 1, 64)[np.newaxis], 1)),
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
    """Normal images from the lowest to the highest score, equally spaced by rank."""
    normals = test[test["label"] == NORMAL].sort_values("score", kind="stable")
    ranks = np.linspace(0, len(normals) - 1, min(NORMALS_SHOWN, len(normals))).round().astype(int)
    return normals.iloc[ranks]


def _typical_anomalies(test: pd.DataFrame) -> pd.DataFrame:
    """The image with the median score of each abnormal class, as many as are shown."""
    ordered = test[test["label"] == ABNORMAL].sort_values("score", kind="stable")
    typical = pd.concat([group.iloc[[(len(group) - 1) // 2]] for _, group in ordered.groupby("class")])
    places = np.linspace(0, len(typical) - 1, min(ABNORMAL_CLASSES_SHOWN, len(typical))).round().astype(int)
    return typical.iloc[places]


def _errors(test: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The normal images with the highest scores and the abnormal ones with the lowest, the worst first."""
    ordered = test.sort_values("score", kind="stable")
    return {
        "false_positives": ordered[ordered["label"] == NORMAL].iloc[::-1][:ERRORS_SHOWN],
        "false_negatives": ordered[ordered["label"] == ABNORMAL][:ERRORS_SHOWN],
    }


def _looks(task: OneClassTask, model: AGAD | None, places: pd.Index) -> dict[int, Look]:
    """Looks at test images by their positions; empty without a model."""
    if model is None:
        return {}
    rows = np.unique(places)
    return dict(zip(rows.tolist(), look_at(model, task.test.images[rows]), strict=True))


def _examples(
    group: pd.DataFrame, task: OneClassTask, looks: Mapping[int, Look], largest_error: float
) -> list[Example]:
    """Draws the images of a group; without looks, only the images themselves."""
    if looks:
        pictures = [
            [*map(png_uri, look[:3]), png_uri(in_colors(look.error, largest_error))]
            for look in (looks[place] for place in group.index)
        ]
    else:
        pictures = [[png_uri(image)] for image in np.asarray(task.test.images[group.index.to_numpy()])]
    rows = zip(group.itertuples(), pictures, strict=True)
    return [Example(row.id, row.kind, row.score, row.flagged, shown) for row, shown in rows]  # type: ignore[arg-type]


def _strip(
    large: pd.DataFrame,
    test: Split,
    looks: Mapping[int, Look],
    largest_error: float,
    masks: Mapping[int, tuple[Path, ...]],
) -> list[dict[Any, Any]]:
    """The rows of `strip_rows` with large images."""
    return [
        {**row, "pictures": strip_pictures(looks[place], largest_error, masks.get(int(test.ids[place]), ()))}
        for place, row in zip(large.index, large.to_dict("records"), strict=True)
    ]


def _settings(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every option with its value, and whether that is the default."""
    return [
        {"name": name, "value": value, "changed": value != DEFAULTS[name]}
        for name, value in options.items()
        if name != "mode"
    ]
