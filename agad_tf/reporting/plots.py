"""The plots of a report: ROC and precision–recall curves, distributions of scores, and curves of training."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.cbook import boxplot_stats
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import precision_recall_curve, roc_curve

from agad_tf.data.splits import ABNORMAL, NORMAL
from agad_tf.reporting.pages import INK, STYLE, inline_svg
from agad_tf.reporting.tensorboard import LABEL_NAMES

# Medium lightness, so that they are visible on white and on black.
COLORS = {NORMAL: "#3d85c6", ABNORMAL: "#e0762f"}
CURVE_COLORS = ("#3d85c6", "#e0762f", "#3a9d5d", "#a06cd5", "#d64550", "#1fa3a3")
WIDTH, HEIGHT = 4.6, 3.4  # inches; drawn at about this size on a telephone
ABOVE: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}
BINS = 40
# Tukey's: whiskers reach the outermost score within this many interquartile ranges of the box.
FENCE = 1.5
# Plots of training in their order, each with a function that selects its scalars.
CURVES: dict[str, Callable[[str], bool]] = {
    "Generator loss": lambda name: name == "generator_loss",
    "Loss terms of normal images": lambda name: (
        not name.startswith(("anomaly_", "discriminator_", "generator_", "val"))
    ),
    "Loss terms of labelled anomalies": lambda name: name.startswith("anomaly_"),
    "Discriminator loss and its terms": lambda name: name.startswith("disc") and name.endswith("_loss"),
    "Discriminator resets": lambda name: name == "discriminator_resets",
    "Mean score of normal validation images": lambda name: name == "validation_score",
    "AUROC on validation images": lambda name: name.startswith("validation_") and name.endswith("auroc"),
    "Balance of generator and discriminator": lambda name: name.startswith(("validation_rec", "validation_disc")),
    "Steps skipped because a loss was not finite": lambda name: name == "skipped_steps",
}


@mpl.rc_context(STYLE)
def roc_plot(labels: np.ndarray, scores: np.ndarray, detector: Mapping[str, Any]) -> Markup:
    """The ROC curve, with the detector's threshold on it.

    Args:
        labels: int (images,): 0 normal, 1 abnormal, both there.
        scores: float (images,).
        detector: of results.json.

    Returns:
        SVG.
    """
    axes = _axes()
    false_positive_rate, true_positive_rate, _ = roc_curve(labels, scores)
    axes.plot([0, 1], [0, 1], "--", color=INK, alpha=0.4, label="by chance")
    axes.plot(false_positive_rate, true_positive_rate, color=COLORS[NORMAL], linewidth=2, label="by score")
    _operating_point(axes, detector["false_positive_rate"], detector["true_positive_rate"])
    axes.set_xlabel("normal images flagged (false positive rate)")
    axes.set_ylabel("anomalies found (true positive rate)")
    axes.legend(**ABOVE, ncols=3)
    return inline_svg(_figure(axes), "ROC curve; its area is the AUROC above.")


@mpl.rc_context(STYLE)
def precision_recall_plot(labels: np.ndarray, scores: np.ndarray, detector: Mapping[str, Any]) -> Markup:
    """The precision–recall curve, with the detector's threshold on it; arguments as of `roc_plot`."""
    axes = _axes()
    precision, recall, _ = precision_recall_curve(labels, scores, drop_intermediate=True)
    axes.axhline(labels.mean(), linestyle="--", color=INK, alpha=0.4, label="by chance")
    axes.plot(recall, precision, color=COLORS[NORMAL], linewidth=2, label="by score")
    flagged = scores >= detector["threshold"]
    if flagged.any():
        _operating_point(axes, detector["true_positive_rate"], labels[flagged].mean())
    axes.set_xlabel("anomalies found (recall)")
    axes.set_ylabel("anomalies among flagged (precision)")
    axes.set_ylim(-0.03, 1.03)
    axes.legend(**ABOVE, ncols=3)
    return inline_svg(_figure(axes), "Precision–recall curve; the table of protocols has its average precision.")


@mpl.rc_context(STYLE)
def score_histogram(labels: np.ndarray, scores: np.ndarray, threshold: float) -> Markup:
    """How scores of normal and of abnormal images are distributed, with the threshold; see `roc_plot`."""
    axes = _axes()
    edges = np.histogram_bin_edges(scores, BINS).tolist()
    for label, name in LABEL_NAMES.items():
        chosen = scores[labels == label]
        if not len(chosen):
            continue
        shares = np.full(len(chosen), 100 / len(chosen))
        axes.hist(chosen, edges, weights=shares, color=COLORS[label], alpha=0.55, label=name)
    axes.axvline(threshold, linestyle="--", color=INK, label="threshold")
    axes.set_xlabel("anomaly score")
    axes.set_ylabel("% of the images of a label")
    axes.legend(**ABOVE, ncols=3)
    kinds = "normal and of abnormal" if labels.any() else "normal"
    return inline_svg(_figure(axes), f"Histograms of the scores of {kinds} test images.")


def tukey_boxes(scores: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """Tukey's box plots in numbers.

    Args:
        scores: float (images,) of each class.

    Returns:
        For each class "q1", "med", "q3"; "whislo" and "whishi", the outermost scores within the fences at 1.5
        interquartile ranges from the box; and "fliers", the scores beyond them.
    """
    # One call per class: given several classes of equal size, it takes them for columns.
    return [box for each in scores for box in boxplot_stats(each, whis=FENCE)]


@mpl.rc_context(STYLE)
def class_boxes(names: Sequence[str], scores: Sequence[np.ndarray], normal: int, threshold: float) -> Markup:
    """Box plots of the scores of each class, the paper's Figure 4.

    Args:
        names: of the classes.
        scores: float (images,) of each class.
        normal: place of the normal class among them.
        threshold: of the detector.

    Returns:
        SVG.
    """
    axes = _axes(height=max(HEIGHT, 0.9 + 0.25 * len(names)))
    places = range(len(names))
    for label, color in COLORS.items():
        chosen = [place for place in places if (place == normal) == (label == NORMAL)]
        if not chosen:
            continue
        line = {"color": color, "linewidth": 1.5}
        axes.bxp(
            tukey_boxes([scores[place] for place in chosen]),
            positions=chosen,
            orientation="horizontal",
            widths=0.6,
            patch_artist=True,
            boxprops={"facecolor": f"{color}55", "edgecolor": color},
            medianprops={"color": INK, "linewidth": 2},
            whiskerprops=line,
            capprops=line,
            flierprops={"marker": ".", "markersize": 4, "markerfacecolor": color, "markeredgecolor": "none"},
            manage_ticks=False,
        )
    axes.axvline(threshold, linestyle="--", color=INK, alpha=0.7, label="threshold")
    # The name of a class is not a formula, even with dollar signs.
    axes.set_yticks(places, names, parse_math=False)
    axes.get_yticklabels()[normal].set_fontweight("bold")
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("anomaly score")
    return inline_svg(_figure(axes), "Box plots of scores by class; the table of classes has their medians.")


@mpl.rc_context(STYLE)
def training_plots(curves: Mapping[str, Mapping[int, float]]) -> dict[str, Markup]:
    """Curves of training over epochs.

    Args:
        curves: by name of the scalar and by epoch, from 1.

    Returns:
        SVGs by their titles; those without a curve are left out.
    """
    plots = {}
    for title, belongs in CURVES.items():
        # A term that is always 0 does not exist in this method.
        shown = {name: curve for name, curve in curves.items() if belongs(name) and any(curve.values())}
        if not shown:
            continue
        axes = _axes(height=2.6)
        for color, (name, curve) in zip(CURVE_COLORS, sorted(shown.items()), strict=False):
            axes.plot(list(curve), list(curve.values()), ".-", color=color, label=name.replace("_", " "))
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if len(shown) > 1:
            axes.legend(**ABOVE, ncols=2)
        plots[title] = inline_svg(_figure(axes), f"{title}, by epoch.")
    return plots


def _axes(height: float = HEIGHT) -> Axes:
    return Figure(figsize=(WIDTH, height), layout="constrained").add_subplot()


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def _operating_point(axes: Axes, x: float, y: float) -> None:
    axes.plot(x, y, "o", color=COLORS[ABNORMAL], markersize=8, clip_on=False, zorder=3, label="at the threshold")
