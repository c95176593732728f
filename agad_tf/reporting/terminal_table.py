"""The figures of a run on the terminal."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from agad_tf.evaluation.results import (
    AT_THRESHOLD,
    FIGURES,
    NO_ANOMALIES,
    ORACLE,
    has_test_anomalies,
    threshold_uncertainty,
)

_NOTES = {
    "per_image": "the result\n\nlast epoch, {epoch}",
    "family_shuffled": "not a result:\ndepends on the batch\nlast epoch, {epoch}",
    "family": "not a result:\nlabels leak\nepoch best on test, {epoch}",
}
_LOCALIZATION = {"pixel_auroc": "pixel AUROC", "pro": "per-region overlap"}
_MADE = {"synthetic_auroc": "synthetic anomalies", "local_auroc": "artificial flaws"}
_PARTS = {"auroc_seen": "  against labelled classes", "auroc_unseen": "  against other classes"}


def print_table(results: dict[str, Any]) -> None:
    """Prints the figures of every protocol in %, marks those that are not results, and prints the threshold."""
    what = results["generator"] if results["method"] == "agad" else results["method"]
    table = Table(
        title=f"{results['dataset']}, normal class {results['normal_class']}, γ = {results['gamma']:g}, "
        f"{what}, seed {results['seed']}"
    )
    table.add_column("in %")
    for name in results["protocols"]:
        epoch = results["protocols"][name]["epoch"]
        note = "the result" if epoch is None else _NOTES[name].format(epoch=epoch)
        table.add_column(f"{name}\n{note}", justify="right")
    with_anomalies = has_test_anomalies(results)
    rows = _table_rows if with_anomalies else _rows_of_normals_alone
    for title, texts in rows(results["protocols"]):
        table.add_row(title, *texts)
    detector, warnings = results["detector"], results.get("warnings", [])
    # Runs of earlier versions have only some of them.
    for title, share in ((title, detector.get(name)) for name, title in AT_THRESHOLD.items() if with_anomalies):
        if share is not None:
            table.add_row(f"{title} at the detector's threshold", f"{100 * share:.1f}")
    if not with_anomalies:
        table.add_row("normal images flagged", f"{100 * detector['false_positive_rate']:.1f}")
    Console().print(table)
    flags = f"The detector flags scores of at least {detector['threshold']:.4g} ({detector['threshold_source']}):"
    if with_anomalies:
        print(
            f"{flags} {100 * detector['false_positive_rate']:.1f} % of the normal and "
            f"{100 * detector['true_positive_rate']:.1f} % of the abnormal test images.\n{ORACLE}"
        )
    else:
        per_image = results["protocols"]["per_image"]
        count = per_image["normal_images"]
        print(
            f"{NO_ANOMALIES}\n{flags} {round(count * detector['false_positive_rate'])} of {count} held-out normal "
            "images. "
            f"Their scores lie between {per_image['normal_score_lowest']:.4g} and "
            f"{per_image['normal_score_highest']:.4g}, with the median {per_image['normal_score_median']:.4g}."
        )
    uncertainty = threshold_uncertainty(detector)
    # The warning of few images contains it.
    if uncertainty and not any(uncertainty in warning for warning in warnings):
        print(uncertainty)
    for warning in warnings:
        print(f"Warning: {warning}")
    if "seconds_by_part" in results:
        print(_time_spent(results["seconds_by_part"]))


def _time_spent(seconds: dict[str, float]) -> str:
    """The time of each part, in one line; parts of less than a hundredth are left out."""
    total = sum(seconds.values())
    longest = sorted(seconds.items(), key=lambda part: -part[1])
    parts = [f"{part} {spent:.1f}" for part, spent in longest if spent >= total / 100]
    return f"It took {total:.1f} s: {', '.join(parts)}."


def _rows_of_normals_alone(protocols: dict[str, dict[str, float]]) -> Iterator[tuple[str, list[str]]]:
    figures = protocols["per_image"]
    yield "AUROC", ["no anomalies"]
    for key, against in _MADE.items():
        if key in figures:
            low, high = figures[f"{key}_low"], figures[f"{key}_high"]
            yield f"{key}: against {against}", [f"{100 * figures[key]:.1f}"]
            yield "  95 % interval", [f"{100 * low:.1f} – {100 * high:.1f}"]


def _table_rows(protocols: dict[str, dict[str, float]]) -> Iterator[tuple[str, list[str]]]:
    for key, title in FIGURES.items():
        yield title, [f"{100 * figures[key]:.1f}" for figures in protocols.values()]
        if key == "auroc":
            intervals = [(figures["auroc_low"], figures["auroc_high"]) for figures in protocols.values()]
            yield "  95 % interval", [f"{100 * low:.1f} – {100 * high:.1f}" for low, high in intervals]
            for part, part_title in _PARTS.items():
                if part in protocols["per_image"]:
                    yield part_title, _where_given(part, protocols)
    for key, title in _LOCALIZATION.items():
        if key in protocols["per_image"]:
            yield title, _where_given(key, protocols)


def _where_given(key: str, protocols: dict[str, dict[str, float]]) -> list[str]:
    return [f"{100 * figures[key]:.1f}" if key in figures else "" for figures in protocols.values()]
