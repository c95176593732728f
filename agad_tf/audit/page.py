"""The page of an audit: one self-contained HTML file."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from agad_tf import __version__
from agad_tf.audit.findings import Audit
from agad_tf.reporting.pages import STYLE, inline_svg, render


def audit_page(found: Audit, setting: Mapping[str, Any]) -> str:
    """Renders the findings as a page.

    Args:
        found: the findings.
        setting: "model", "training_mode", "input_range", "dataset" and "normal_class" of the audit.

    Returns:
        HTML, the plot inside.
    """
    return render("audit.html", found=found, setting=setting, version=__version__, plot=_plot(found))


@mpl.rc_context(STYLE)
def _plot(found: Audit) -> Markup:
    """Median and largest change of each kind of batch, as SVG."""
    rows = found.conditions[1:]
    figure = Figure(figsize=(8, 1.2 + 0.3 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(rows))
    median, largest = [row.median_change for row in rows], [row.largest_change for row in rows]
    axes.axvspan(0, found.tolerance, color="tab:gray", alpha=0.3, label="rounding or chance")
    axes.hlines(places, median, largest, color="tab:blue", alpha=0.4, linewidth=3)
    axes.plot(median, places, "o", color="tab:blue", label="median", clip_on=False)
    axes.plot(largest, places, "D", color="tab:red", label="largest", clip_on=False)
    # From 0 to several standard deviations: logarithmic, and linear in the range of rounding.
    axes.set_xscale("symlog", linthresh=found.tolerance)
    axes.xaxis.set_major_formatter("{x:g}")  # powers would be formulas, which the style takes as they are written
    axes.set_xlim(0, max(10.0, 2 * max(largest)))
    axes.set_yticks(places, [f"{row.condition}, {row.batch_size}" for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("change of a score against that of the image alone, in standard deviations")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.15), ncols=3, frameon=False)
    return inline_svg(figure, "Median and largest change of a score in each kind of batch; the table has the numbers.")
