"""The parts of the page that show findings, as HTML."""

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

import numpy as np
import pandas as pd

from agad_tf.demo.findings import Finding

STYLE = """
.cards {display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 14px}
.card {border: 1px solid var(--border-color-primary); border-top: 5px solid #2a9d5c; border-radius: 8px; padding: 10px}
.card.flagged {border-top-color: #d1344b}
.card.complaint {border-top-color: #999}
.card h3 {margin: 0 0 6px; font-size: 1em; overflow-wrap: anywhere}
.card .pair {display: grid; grid-template-columns: 1fr 1fr; gap: 6px}
.card img {width: 100%; min-height: 60px; object-fit: contain; image-rendering: pixelated}
.card p {margin: 6px 0 0}
.card strong, .told strong {font-weight: 650}
.flagged strong {color: #d1344b}
.chart {width: 100%; max-height: 190px; margin-top: 8px}
.chart text {font-size: 12px; fill: var(--body-text-color)}
.told td, .told th {padding: 2px 14px 2px 0; text-align: left}
.told summary {cursor: pointer}
"""
NORMAL_COLOUR, ABNORMAL_COLOUR, OWN_COLOUR = "#2a9d5c", "#d1344b", "#3b6fd4"
NO_VALIDATION = (
    "This run was measured by an earlier version and has no scores of validation images; --mode=evaluate writes them."
)
# Number of bars of the chart, and its width in SVG units.
BINS, WIDTH = 80, 600
# Number of flagged validation images that are listed.
NAMED = 100


def cards(findings: Sequence[Finding], threshold: float) -> str:
    """A card for each file, the highest score first and files with a complaint last.

    Args:
        findings: of the files.
        threshold: score at or above which an image is flagged.

    Returns:
        HTML; names and complaints are escaped.
    """
    ordered = sorted(findings, key=lambda each: (bool(each.complaint), -each.score if each.image else 0))
    return f'<div class="cards">{"".join(_card(each, threshold) for each in ordered)}</div>'


def _card(finding: Finding, threshold: float) -> str:
    name = escape(finding.name)
    if finding.complaint:
        return f'<div class="card complaint"><h3>{name}</h3><p>{escape(finding.complaint)}</p></div>'
    flagged = finding.score >= threshold
    images = "".join(
        f'<a href="{source}" target="_blank"><img src="{source}" alt="{kind}" title="{kind}"></a>'
        for kind, source in (("image", _source(finding.image)), ("error map", _source(finding.overlay)))
    )
    return (
        f'<div class="card {"flagged" if flagged else "passed"}"><h3>{name}</h3><div class="pair">{images}</div>'
        f"<p><strong>{'abnormal' if flagged else 'normal'}</strong>, score {finding.score:.4g}, "
        f"probability {finding.probability:.3f}</p></div>"
    )


def _source(path: str) -> str:
    return escape(f"/gradio_api/file={quote(path)}")


def summary(
    validation: pd.DataFrame, findings: Sequence[Finding], threshold: float, lowest: float, highest: float
) -> str:
    """The images that a threshold flags: shares in words, a chart of all scores, and a list of validation images.

    Args:
        validation: image_id, label and anomaly_score of each validation image.
        findings: of the files that were dropped.
        threshold: score at or above which an image is flagged.
        lowest: score at the left edge of the chart.
        highest: score at its right edge; scores outside are drawn at the edge.

    Returns:
        HTML.
    """
    labels, scores = validation["label"].to_numpy(), validation["anomaly_score"].to_numpy(float)
    own = np.array([each.score for each in findings if each.image])
    rows = [
        ("normal validation images", scores[labels == 0], NORMAL_COLOUR),
        ("abnormal validation images", scores[labels == 1], ABNORMAL_COLOUR),
        ("dropped images", own, OWN_COLOUR),
    ]
    rows = [row for row in rows if len(row[1])]
    told = "".join(
        f"<li><strong>{np.sum(values >= threshold)} of {len(values)}</strong> {name} "
        f"({100 * np.mean(values >= threshold):.1f} %)</li>"
        for name, values, _ in rows
    )
    said = f"A threshold of {threshold:.5g} flags:<ul>{told}</ul>" if rows else ""
    missing = "" if len(validation) else f"<p>{NO_VALIDATION}</p>"
    chart = _chart(rows, threshold, lowest, highest) if rows else ""
    return f'<div class="told">{said}{chart}{missing}{_flagged(validation[scores >= threshold])}</div>'


def _flagged(flagged: pd.DataFrame) -> str:
    if not len(flagged):
        return ""
    ordered = flagged.sort_values("anomaly_score", ascending=False)
    lines = "".join(
        f"<tr><td>{escape(image)}</td><td>{'abnormal' if label else 'normal'}</td><td>{score:.4g}</td></tr>"
        for image, label, score in ordered.head(NAMED).itertuples(index=False)
    )
    return (
        f"<details><summary>Flagged validation images: the {NAMED} highest "
        f"scores</summary><table><tr><th>image</th><th>label</th><th>score</th></tr>{lines}</table></details>"
    )


def _chart(rows: list[tuple[str, np.ndarray, str]], threshold: float, lowest: float, highest: float) -> str:
    """A histogram in SVG for each row, one below the other, and a line at the threshold."""
    parts, height = [], 60 * len(rows)
    for number, (name, values, colour) in enumerate(rows):
        counts, _ = np.histogram(np.clip(values, lowest, highest), BINS, (lowest, highest))
        base = 60 * (number + 1) - 4
        for place in np.flatnonzero(counts):
            tall = 4 + 32 * counts[place] / counts.max()
            x = WIDTH * place / BINS
            parts.append(
                f'<rect x="{x:.1f}" y="{base - tall:.1f}" width="{WIDTH / BINS - 1:.1f}" height="{tall:.1f}" '
                f'fill="{colour}"><title>{counts[place]} {name}</title></rect>'
            )
        parts.append(f'<text x="0" y="{base - 42}">{name}</text>')
    x = WIDTH * (np.clip(threshold, lowest, highest) - lowest) / (highest - lowest)
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}" stroke="currentColor" stroke-dasharray="5 4"/>'
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img">{"".join(parts)}{line}</svg>'
