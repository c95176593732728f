"""Images with their error maps laid over them."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from agad_tf.data.images_in_files import read_picture
from agad_tf.data.pixel_range import FULL_RANGE, PixelRange
from agad_tf.evaluation.localization import at_size

MAPS, SCALE = "maps", "colour_scale.png"
COLOUR_MAP = "inferno"
# How much the brightest colour covers of the image below it; where there is no error, the image shows.
OPACITY = 0.85


def common_folder(paths: list[str]) -> Path:
    """The deepest folder that all files lie below.

    Args:
        paths: of the files, at least one.
    """
    parents = {Path(path).parent for path in paths}
    shortest = min(parents, key=lambda parent: len(parent.parts))
    return next(root for root in (shortest, *shortest.parents) if all(p.is_relative_to(root) for p in parents))


class Overlays:
    """Images with their error maps laid over them.

    Args:
        folder: to write to; images lie in it as they do below `root`.
        root: folder that all images are below.
        scale: error that has the brightest colour, above 0, in units of 0 to 255.
        pixel_range: which values are black and white where there are more than 8 bits.
    """

    def __init__(self, folder: Path, root: Path, scale: float, pixel_range: PixelRange = FULL_RANGE):
        self.folder, self.root, self.scale, self.pixel_range = folder, root, scale, pixel_range
        self.colours = mpl.colormaps[COLOUR_MAP]
        folder.mkdir(parents=True, exist_ok=True)
        self._write_scale()

    def write(self, files: np.ndarray, errors: np.ndarray, channels: int) -> None:
        """Writes the overlays of a batch.

        Args:
            files: paths of the images, str (batch,).
            errors: their error maps, float (batch, height, width) in [0, 255], of any size.
            channels: that images are read with, 1 or 3.
        """
        with ThreadPoolExecutor() as pool:
            list(pool.map(partial(self._overlay, channels), files, errors))

    def _overlay(self, channels: int, path: str, error_map: np.ndarray) -> None:
        picture = read_picture(path, channels, self.pixel_range)
        shares = np.clip(at_size(error_map, *picture.shape[:2]) / self.scale, 0, 1)
        cover = OPACITY * shares[..., np.newaxis]
        overlay = np.round((1 - cover) * picture + cover * self.colours(shares, bytes=True)[..., :3]).astype(np.uint8)
        target = self.folder / Path(path).relative_to(self.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(overlay).save(target.with_name(target.name + ".png"))

    def _write_scale(self) -> None:
        figure = Figure(figsize=(5, 0.8), layout="constrained")
        colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, self.scale), self.colours)
        figure.colorbar(colours, figure.add_subplot(), orientation="horizontal", label="error, of 255")
        figure.savefig(self.folder.parent / SCALE, dpi=120)
