"""What a benchmark makes of its runs: one tidy CSV, and tables in Markdown and HTML."""

import json
from collections.abc import Iterable
from operator import methodcaller
from pathlib import Path
from typing import Any

import pandas as pd

from agad_tf.choices import ADDED_SINCE_0_6, ADDED_UNTIL_0_5
from agad_tf.config import DEFAULTS
from agad_tf.pages import render
from agad_tf.published import published_auroc
from agad_tf.results import write_whole

CSV_NAME, MARKDOWN_NAME, HTML_NAME = "benchmark.csv", "benchmark.md", "benchmark.html"
RESULT = "per_image"
SHOWN_PROTOCOLS = (RESULT, "family_shuffled", "family")
# Tables average over these; of the classes of labelled anomalies, "labelled" says as much as tables tell apart.
AVERAGED = ("normal_class", "seed", "anomaly_classes")
NOTE = (
    "Mean AUROC in % ± standard deviation over classes and seeds. per_image is the result: each image is scored by "
    "itself, after the last epoch. family_shuffled scores by the statistics of mixed batches. family lets the label "
    "leak through batches that are ordered by it, and takes the epoch that is best on the test set, as the published "
    "figures were made; last epoch is the same without that choice."
)


def tidy(results: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """One row for every protocol of every run.

    Args:
        results: contents of results.json.

    Returns:
        Settings, facts and figures as columns; AUROC and the like as fractions.
    """
    rows = []
    for result in results:
        # A run of an earlier version does not say what it had no name for: it had the default, and belongs with it.
        named = {**{name: DEFAULTS[name] for name in (*ADDED_UNTIL_0_5, *ADDED_SINCE_0_6)}, **result}
        facts = {name: _flat(value) for name, value in named.items() if name not in ("protocols", "versions")}
        versions = {f"version_{name}": text for name, text in result["versions"].items()}
        rows += [
            {**facts, **versions, "protocol": protocol, **figures} for protocol, figures in result["protocols"].items()
        ]
    runs = pd.DataFrame(rows)
    return runs.assign(labelled=runs["anomaly_classes"].map(_how_labelled))


def summarize(runs: pd.DataFrame) -> pd.DataFrame:
    """Averages over classes and seeds.

    Args:
        runs: from `tidy`.

    Returns:
        A row for every combination of the settings that differ between runs, figures as texts in %, beside the
        published one; columns without any are left out.
    """
    rows = []
    for _, group in runs.groupby(settings_that_differ(runs)):
        own, family = (group[group["protocol"] == name] for name in (RESULT, "family"))
        first = own.iloc[0]
        row = {name: first[name] for name in settings_that_differ(runs)}
        row |= {"classes": own["normal_class"].nunique(), "runs": len(own)}
        for protocol in SHOWN_PROTOCOLS:
            row[protocol] = _mean_and_deviation(group.loc[group["protocol"] == protocol, "auroc"])
        for title, name, part in (
            ("family, last epoch", "last_epoch_auroc", family),
            ("seen classes", "auroc_seen", own),
            ("unseen classes", "auroc_unseen", own),
        ):
            if name in runs:
                row[title] = _mean_and_deviation(part[name])
        row["published"] = published_auroc(first["method"], first["dataset"], first["generator"], first["gamma"])
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.loc[:, (table != "").any()]


def by_class(runs: pd.DataFrame) -> pd.DataFrame:
    """Per-image AUROC of each normal class in %, averaged over seeds; classes as columns."""
    results = runs[runs["protocol"] == RESULT]
    table = results.pivot_table(index=settings_that_differ(runs), columns="normal_class", values="auroc")
    return (100 * table).round(1).reset_index().rename_axis(columns=None).fillna("")


def settings_that_differ(runs: pd.DataFrame) -> list[str]:
    """What tells the rows of a table apart: γ, and every setting that differs but those that are averaged over."""
    # Settings come first in results.json; the seconds, figures and versions after them differ in any case.
    settings = [*runs.columns[: runs.columns.get_loc("data_origin")], "labelled"]
    differ = [name for name in settings if name not in AVERAGED and runs[name].nunique() > 1]
    return differ if "gamma" in differ else ["gamma", *differ]


def write_tables(results: Iterable[dict[str, Any]], folder: Path) -> str:
    """Writes the CSV, the Markdown and the HTML of a benchmark.

    Args:
        results: contents of results.json of all finished runs, at least one.
        folder: to write to.

    Returns:
        The Markdown.
    """
    runs = tidy(results)
    summary, classes = summarize(runs), by_class(runs)
    markdown = "\n\n".join(
        [
            "# Benchmark",
            f"{_in_common(runs)} {NOTE}",
            summary.to_markdown(index=False, disable_numparse=True),
            "## Per image, by normal class",
            classes.to_markdown(index=False, disable_numparse=True),
        ]
    )
    tables = {"summary": summary.to_html(index=False), "classes": classes.to_html(index=False)}
    html = render("benchmark.html", note=f"{_in_common(runs)} {NOTE}", **tables)
    for name, text in ((CSV_NAME, runs.to_csv(index=False)), (MARKDOWN_NAME, markdown + "\n"), (HTML_NAME, html)):
        write_whole(folder / name, methodcaller("write", text))
    return markdown


def _in_common(runs: pd.DataFrame) -> str:
    names = [name for name in ("dataset", "method", "generator", "epochs", "width") if runs[name].nunique() == 1]
    return f"All runs: {', '.join(f'{name} {runs[name].iloc[0]}' for name in names)}."


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
