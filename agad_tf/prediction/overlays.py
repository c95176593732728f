"""Images with their error maps laid over them."""

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from agad_tf.data.images_in_files import read_picture
from agad_tf.data.pixel_range import FULL_RANGE, PixelRange
from agad_tf.evaluation.localization import at_size
from agad_tf.files.own_output import SCALE
from agad_tf.prediction.file_versions import Version, digest

COLOUR_MAP = "inferno"
# Opacity of the brightest colour; without an error, the image shows through.
OPACITY = 0.85
# Pixels that are blended at a time, and pixels of all images in memory, which take 300 MiB.
PIXELS_OF_BAND, PIXELS_AT_A_TIME = 2**20, 2**24
# Texts in the PNG that name the file, and its version, under the colours.
SOURCE, VERSION = "agad_tf source", "agad_tf version"


def common_folder(paths: list[str]) -> Path:
    """The deepest folder that all files lie below.

    Args:
        paths: of the files, absolute, at least one.
    """
    parents = {Path(path).parent for path in paths}
    shortest = min(parents, key=lambda parent: len(parent.parts))
    return next(root for root in (shortest, *shortest.parents) if all(p.is_relative_to(root) for p in parents))


def overlaid(picture: np.ndarray, error_map: np.ndarray, scale: float) -> np.ndarray:
    """An image with its error map laid over it.

    Args:
        picture: the image, uint8 (height, width, channels) of 1 or 3 channels.
        error_map: float32 of any height and width.
        scale: value of a map that is shown in the brightest colour, above 0.

    Returns:
        uint8 (height, width, 3).
    """
    error_map = at_size(error_map, *picture.shape[:2])
    overlay = np.empty((*picture.shape[:2], 3), np.uint8)
    # In bands, because each pixel takes some 100 bytes of temporary memory.
    rows = max(1, PIXELS_OF_BAND // picture.shape[1])
    for start in range(0, len(picture), rows):
        band = slice(start, start + rows)
        shares = np.clip(error_map[band] / scale, 0, 1)
        cover = OPACITY * shares[..., np.newaxis]
        colours = mpl.colormaps[COLOUR_MAP](shares, bytes=True)[..., :3]
        overlay[band] = np.round((1 - cover) * picture[band] + cover * colours)
    return overlay


class Overlays:
    """Images with their error maps laid over them.

    Args:
        folder: to write to; its layout is that of the images below `root`.
        root: folder that all images are below.
        scale: value of a map that is shown in the brightest colour, above 0.
        unit: of the values, for the scale of colours.
        pixel_range: the values that are black and white in images of more than 8 bits.
    """

    def __init__(
        self,
        folder: Path,
        root: Path,
        scale: float,
        unit: str = "error, of 255",
        pixel_range: PixelRange = FULL_RANGE,
    ):
        self.folder, self.root, self.scale, self.unit, self.pixel_range = folder, root, scale, unit, pixel_range
        folder.mkdir(parents=True, exist_ok=True)
        self._write_scale()

    def has(self, path: str, version: Version) -> bool:
        """Whether the overlay of this version of an image exists."""
        return _texts(self.place(path)).get(VERSION) == digest(path, version)

    def place(self, path: str) -> Path:
        """The path of an image's overlay: the image's own path below `root`, unless another overlay has it."""
        target = self.folder / Path(path).relative_to(self.root)
        place = target.with_name(target.name + ".png")
        if _texts(place).get(SOURCE, digest(path)) == digest(path):
            return place
        # An earlier call had another root.
        return place.with_name(f"{target.name}-{digest(path)}.png")

    def write(self, files: np.ndarray, versions: list[Version], errors: np.ndarray, channels: int) -> None:
        """Writes the overlays of a batch.

        Args:
            files: paths of the images, str (batch,).
            versions: of the files.
            errors: their error maps, float (batch, height, width) in [0, 255], of any size.
            channels: that images are read with, 1 or 3.
        """
        with ThreadPoolExecutor(_images_at_a_time(files)) as pool:
            list(pool.map(partial(self._overlay, channels), files, versions, errors))

    def _overlay(self, channels: int, path: str, version: Version, error_map: np.ndarray) -> None:
        picture = read_picture(path, channels, self.pixel_range)
        overlay = overlaid(picture, error_map, self.scale)
        texts = PngInfo()
        texts.add_text(SOURCE, digest(path))
        texts.add_text(VERSION, digest(path, version))
        target = self.place(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(target.name + ".partial")
        Image.fromarray(overlay).save(beside, "PNG", pnginfo=texts)
        beside.replace(target)

    def _write_scale(self) -> None:
        figure = Figure(figsize=(5, 0.8), layout="constrained")
        colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, self.scale), COLOUR_MAP)
        figure.colorbar(colours, figure.add_subplot(), orientation="horizontal", label=self.unit)
        figure.savefig(self.folder.parent / SCALE, dpi=120)


def _images_at_a_time(files: np.ndarray) -> int:
    """Number of images in memory at a time: one for each processor, fewer if they are large."""
    largest = 1
    for file in files:
        # Errors are reported where the whole file is read.
        with contextlib.suppress(OSError), Image.open(file) as image:
            largest = max(largest, image.width * image.height)
    return max(1, min(os.cpu_count() or 1, PIXELS_AT_A_TIME // largest))


def _texts(path: Path) -> dict[str, str]:
    """The texts in a PNG; empty if the file is missing or damaged."""
    try:
        with Image.open(path) as image:
            return {str(name): str(text) for name, text in image.info.items()}
    # Damaged files also raise SyntaxError or ValueError.
    except (OSError, SyntaxError, ValueError):
        return {}
