"""Self-contained HTML pages: templates in one style, with plots and images embedded."""

import base64
import io
import re
from typing import Any

import matplotlib as mpl
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

# Placeholder in plots for the page's text colour, which differs between light and dark mode.
INK = "#010203"
STYLE: Any = {
    # A dollar sign in the name of a class is not mathematics.
    "text.parse_math": False,
    "font.size": 10,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
# Larger images are shrunk, so that a page with many images is small enough to send.
LONGEST_SIDE = 80


def render(template: str, **values: Any) -> str:
    """Fills in a template of agad_tf/reporting/templates/.

    Args:
        template: file name.
        values: of the template's variables; texts are escaped.

    Returns:
        HTML.
    """
    environment = Environment(
        loader=PackageLoader("agad_tf.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def inline_svg(figure: Figure, description: str) -> Markup:
    """A plot as an element of the page, transparent, with `INK` replaced by the text colour.

    Args:
        figure: the plot.
        description: of what it shows, for screen readers; different for each plot of a page.

    Returns:
        SVG, equal for equal plots.
    """
    file = io.StringIO()
    # The salt makes the ids of markers unique within a page.
    with mpl.rc_context({"svg.hashsalt": description, "svg.fonttype": "none"}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    _, _, svg = file.getvalue().partition("<svg ")
    # Matplotlib numbers the groups of each plot from 1, but ids must be unique in a page.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg).replace(INK, "currentColor")
    return Markup('<svg role="img" aria-label="{}" ').format(description) + Markup(svg)


def png_uri(pixels: np.ndarray, longest_side: int = LONGEST_SIDE) -> str:
    """An image as a `data:` URI.

    Args:
        pixels: uint8 (height, width) or (height, width, channels) of 1 or 3 channels.
        longest_side: in pixels; larger images are shrunk.

    Returns:
        `data:` URI of a PNG.
    """
    image = _image_of(pixels)
    image.thumbnail((longest_side, longest_side))
    return _uri(image, "png", optimize=True)


def jpeg_uri(pixels: np.ndarray) -> str:
    """An image as a `data:` URI of a JPEG of its size, which takes a fifth of a PNG's bytes for photos."""
    return _uri(_image_of(pixels), "jpeg", quality=90, subsampling=0)


def _image_of(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)


def _uri(image: Image.Image, kind: str, **options: Any) -> str:
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
