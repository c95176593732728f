"""HTML pages that need nothing else: templates of one look, with plots and images inside."""

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

# Stands in plots for the colour of the text around them, which is dark by day and light by night.
INK = "#010203"
STYLE: Any = {
    # A dollar sign in the name of a class is one.
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
# Larger images are shrunk: a page of many stays small enough to send.
LONGEST_SIDE = 80


def render(template: str, **values: Any) -> str:
    """Fills in a template of agad_tf/reporting/templates/.

    Args:
        template: file name.
        values: that the template names; texts among them are escaped.

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
    """A plot as an element of the page, transparent, with `INK` in the colour of the text.

    Args:
        figure: the plot.
        description: of what it shows, for those who do not see it; different for each plot of a page.

    Returns:
        SVG, equal for equal plots.
    """
    file = io.StringIO()
    # The salt keeps the names of marks apart that plots of one page refer to.
    with mpl.rc_context({"svg.hashsalt": description, "svg.fonttype": "none"}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    _, _, svg = file.getvalue().partition("<svg ")
    # Matplotlib numbers the groups of each plot from 1; a page must not have a name twice.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg).replace(INK, "currentColor")
    return Markup('<svg role="img" aria-label="{}" ').format(description) + Markup(svg)


def png_uri(pixels: np.ndarray, longest_side: int = LONGEST_SIDE) -> str:
    """An image as an address that holds it.

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
    """An image as an address that holds it as a JPEG of its size; of photos it takes a fifth of a PNG's bytes."""
    return _uri(_image_of(pixels), "jpeg", quality=90, subsampling=0)


def _image_of(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)


def _uri(image: Image.Image, kind: str, **options: Any) -> str:
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
