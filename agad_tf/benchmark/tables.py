"""The tables of a benchmark: one tidy CSV, and summaries in Markdown and HTML."""

import json
from collections.abc import Iterable
from operator import methodcaller
from pathlib import Path
from typing import Any

import pandas as pd

from agad_tf.benchmark.published import published_auroc
from agad_tf.config.choices import ADDED_SINCE_0_6, ADDED_SINCE_0_7, ADDED_UNTIL_0_5, WHERE_AND_HOW
from agad_tf.config.experiment import DEFAULTS, unread_options
from agad_tf.files.whole_files import write_whole
from agad_tf.reporting.pages import render

CSV_NAME, MARKDOWN_NAME, HTML_NAME = "benchmark.csv", "benchmark.md", "benchmark.html"
RESULT = "per_image"
SHOWN_PROTOCOLS = (RESULT, "family_shuffled", "family")
# Tables average over these; for the classes of labelled anomalies, they show only "labelled".
AVERAGED = ("normal_class", "seed", "anomaly_classes")
NOTE = (
    "Mean AUROC in % ± standard deviation over classes and seeds, and over the labelled class if one class of "
    "anomalies is labelled at a time. per_image is the result: each image is scored by itself, after the last epoch. "
    "family_shuffled scores by the statistics of mixed batches. family is the protocol of the published figures: the "
    "label leaks through batches that are ordered by label, and the epoch is the best on the test set; last epoch is "
    "the same without this choice. synthetic anomalies is the AUROC against anomalies that are made from normal test "
    "images, for runs without other anomalies in the test set; it is not a result."
)


def tidy(results: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """One row for each protocol of each run.

    Args:
        results: contents of results.json; a run without anomalies in its test set has no AUROC.

    Returns:
        Settings, facts and figures as columns; AUROC and the like as fractions.
    """
    rows = []
    for result in results:
        # Runs of earlier versions lack later options, which were at their defaults.
        named = {**{name: DEFAULTS[name] for name in (*ADDED_UNTIL_0_5, *ADDED_SINCE_0_6, *ADDED_SINCE_0_7)}, **result}
        # Options without effect do not distinguish rows.
        named |= dict.fromkeys(unread_options(result["method"]))
        if not named["synthetic_anomalies"]:
            named["synthetic_share"] = None
        groups = {"version": named.pop("versions"), "detector": named.pop("detector", {})}
        parts = {f"{group}_{name}": value for group, values in groups.items() for name, value in values.items()}
        protocols = named.pop("protocols")
        facts = {name: _flat(value) for name, value in {"warnings": [], **named}.items()}
        facts |= {"published": published_auroc(result), **parts}
        rows += [{**facts, "protocol": protocol, **figures} for protocol, figures in protocols.items()]
    runs = pd.DataFrame(rows)
    # If no test set has anomalies, the type cannot be inferred.
    runs["auroc"] = pd.to_numeric(runs["auroc"])
    # Baselines have none, and missing values would turn whole numbers into fractions.
    whole = [name for name in runs if isinstance(DEFAULTS.get(str(name)), int) and runs[name].dtype == float]
    return runs.astype(dict.fromkeys(whole, "Int64")).assign(labelled=runs["anomaly_classes"].map(_how_labelled))


def summarize(runs: pd.DataFrame) -> pd.DataFrame:
    """Averages over classes and seeds.

    Args:
        runs: from `tidy`.

    Returns:
        A row for every combination of the settings that differ between runs, figures as texts in %, beside the
        published one; columns without any are left out.
    """
    rows = []
    for _, group in runs.groupby(settings_that_differ(runs), dropna=False):
        own, family = (group[group["protocol"] == name] for name in (RESULT, "family"))
        first = own.iloc[0]
        row = {name: "" if pd.isna(first[name]) else first[name] for name in settings_that_differ(runs)}
        row |= {"classes": own["normal_class"].nunique(), "runs": len(own)}
        row["with warnings"] = int((own["warnings"] != "[]").sum()) or ""
        for protocol in SHOWN_PROTOCOLS:
            row[protocol] = _mean_and_deviation(group.loc[group["protocol"] == protocol, "auroc"])
        for title, name, part in (
            ("family, last epoch", "last_epoch_auroc", family),
            ("seen classes", "auroc_seen", own),
            ("unseen classes", "auroc_unseen", own),
            ("synthetic anomalies", "synthetic_auroc", own),
            ("made flaws", "local_auroc", own),
        ):
            if name in runs:
                row[title] = _mean_and_deviation(part[name])
        row["published"] = first["published"]
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.loc[:, (table != "").any()]


def by_class(runs: pd.DataFrame) -> pd.DataFrame:
    """Per-image AUROC of each normal class in %, averaged over seeds; classes as columns."""
    results = runs[runs["protocol"] == RESULT]
    keys = [*settings_that_differ(runs), "normal_class"]
    table = (100 * results.groupby(keys, dropna=False)["auroc"].mean()).round(1).unstack()
    table = table.reset_index().rename_axis(columns=None).astype(object)
    return table.where(table.notna(), "")


def settings_that_differ(runs: pd.DataFrame) -> list[str]:
    """The settings that distinguish rows: γ, and every setting that differs and is not averaged over."""
    settings = [name for name in (*_settings(runs), "labelled") if name not in AVERAGED]
    differ = [name for name in settings if runs[name].nunique() > 1]
    return differ if "gamma" in differ else ["gamma", *differ]


def write_tables(results: Iterable[dict[str, Any]], progress: str, folder: Path) -> str:
    """Writes the CSV, the Markdown and the HTML of a benchmark.

    Args:
        results: contents of results.json of all finished runs, at least one.
        progress: a sentence about how many runs are finished.
        folder: to write to.

    Returns:
        The Markdown.
    """
    runs = tidy(results)
    summary, classes = summarize(runs), by_class(runs)
    note = f"{progress} {_in_common(runs)} {NOTE}"
    markdown = "\n\n".join(
        [
            "# Benchmark",
            note,
            summary.to_markdown(index=False, disable_numparse=True),
            "## Per image, by normal class",
            classes.to_markdown(index=False, disable_numparse=True),
        ]
    )
    summary_html, classes_html = (table.to_html(index=False, border=0) for table in (summary, classes))
    html = render("benchmark.html", note=note, summary=summary_html, classes=classes_html)
    for name, text in ((CSV_NAME, runs.to_csv(index=False)), (MARKDOWN_NAME, markdown + "\n"), (HTML_NAME, html)):
        write_whole(folder / name, methodcaller("write", text))
    return markdown


def _settings(runs: pd.DataFrame) -> list[str]:
    """The settings that define an experiment, and the place of users' own images; "threshold" is a figure here."""
    return [name for name in DEFAULTS if name in runs and (name not in WHERE_AND_HOW or name == "data_dir")]


def _in_common(runs: pd.DataFrame) -> str:
    """The common settings of all runs: those that name an experiment, and all others that are not at their defaults."""
    shared = {name: runs[name].dropna().iloc[0] for name in _settings(runs) if runs[name].nunique() == 1}
    changed = [name for name, value in shared.items() if value != _flat(DEFAULTS[name])]
    named = dict.fromkeys(("dataset", "method", "generator", "epochs", "width", *changed))
    return f"All runs: {', '.join(f'{name} {shared[name]}' for name in named if name in shared)}."


def _how_labelled(anomaly_classes: str) -> str:
    classes = json.loads(anomaly_classes)
    return "all" if not classes else "one class" if len(classes) == 1 else f"classes {anomaly_classes}"


def _flat(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (list, tuple)) else value


def _mean_and_deviation(fractions: pd.Series) -> str:
    values = 100 * fractions.dropna()
    if values.empty:
        return ""
    return f"{values.mean():.1f} ± {values.std():.1f}" if len(values) > 1 else f"{values.mean():.1f}"
