"""Which values are black and white in images of more than 8 bits: one range for all of a set.

A camera of 12 bits leaves values up to 4095 in files of 16: by the files' own range they would be nearly black. Whole
numbers are read by the fewest bits that hold all of a set's, floating-point numbers from the lowest to the highest.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
from tqdm import tqdm

from agad_tf.config.errors import RunError

# Of cameras. Numbers that are wider have no usual depths.
_DEPTHS = (8, 10, 12, 14, 16)
_MOST_BITS = 64
# Whose white is that of the type they are kept in; nothing needs to be said of them.
_WIDTHS = (16, 32, 64)
# What floating-point numbers usually lie between; the first that holds all of a set's is taken for its range.
_USUAL = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
_PLACES_AT_ONCE = 2**24


class Extremes(NamedTuple):
    """The lowest and the highest value of images of more than 8 bits, and whether they are whole numbers."""

    lowest: float
    highest: float
    whole: bool


class PixelRange(NamedTuple):
    """How values beyond 8 bits are read.

    Attributes:
        bits: of whole numbers, at least 8: 2^bits - 1 is white.
        low: the floating-point number that is black.
        high: the one that is white; where it is `low`, none is known.
    """

    bits: int = 16
    low: float = 0.0
    high: float = 0.0

    def to_8_bits(self, values: np.ndarray) -> np.ndarray:
        """Values as pixels; what lies beyond the range is black or white.

        Args:
            values: whole or floating-point numbers of any shape.

        Returns:
            uint8, of the same shape. Of whole numbers the upper 8 of all bits are kept.

        Raises:
            ValueError: floating-point numbers of a range that is not known, or that are not finite.
        """
        if np.issubdtype(values.dtype, np.integer):
            if self.bits < FULL_RANGE.bits and values.max(initial=0) >= 2**self.bits:
                _warn_of_brighter_values(self.bits)
            return (values.clip(0, 2**self.bits - 1) >> (self.bits - 8)).astype(np.uint8)
        if self.low == self.high:
            raise ValueError("it holds floating-point numbers, whose range is unknown")
        shares = (require_finite(values).astype(np.float64) - self.low) / (self.high - self.low)
        return np.round(255 * shares.clip(0, 1)).astype(np.uint8)

    def sentences(self, found: Iterable[Extremes]) -> list[str]:
        """What to tell the user of how images were read, where it is not as everybody would."""
        found, said = list(found), []
        if any(each.whole for each in found) and self.bits not in _WIDTHS:
            said.append(f"Values of more than 8 bits are read as {self.bits}-bit ones: {2**self.bits - 1} is white.")
        if not all(each.whole for each in found):
            said.append(f"Floating-point values are read from {self.low:g}, black, to {self.high:g}, white.")
        return said


FULL_RANGE = PixelRange()


@lru_cache
def _warn_of_brighter_values(bits: int) -> None:
    """Says once that an image is of another depth than those that the range was found on."""
    tqdm.write(
        f"agad_tf: An image has values above {2**bits - 1}, which is white in images of {bits} bits, as those for "
        "training were; they count as white. Give images of the same depth.",
        file=sys.stderr,
    )


def extremes_of(values: np.ndarray) -> Extremes:
    """The extremes of an image or of several, at least one value."""
    return Extremes(float(values.min()), float(values.max()), bool(np.issubdtype(values.dtype, np.integer)))


def range_of(found: Iterable[Extremes]) -> PixelRange:
    """The range that all of a set's images are read by."""
    found = list(found)
    whole, floats = [each for each in found if each.whole], [each for each in found if not each.whole]
    bits, low, high = FULL_RANGE
    if whole:
        highest = max(int(each.highest) for each in whole)
        bits = next((depth for depth in _DEPTHS if highest < 2**depth), min(highest.bit_length(), _MOST_BITS))
    if floats:
        low, high = min(each.lowest for each in floats), max(each.highest for each in floats)
        own = (low, high if high > low else low + 1)
        low, high = next((usual for usual in _USUAL if _fits(low, high, *usual)), own)
    return PixelRange(bits, low, high)


def _fits(low: float, high: float, black: float, white: float) -> bool:
    """Whether values lie in a usual range, but for rounding, and make use of it."""
    slack = (white - black) / 1000
    return black - slack <= low and white / 4 < high <= white + slack


def require_finite(values: np.ndarray) -> np.ndarray:
    """The values as they are.

    Raises:
        ValueError: one is not a finite number.
    """
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite")
    return values


def in_pieces(images: np.ndarray, pixel_range: PixelRange) -> np.ndarray:
    """`PixelRange.to_8_bits` of many images, without a second copy of them at full width."""
    step = max(1, _PLACES_AT_ONCE // max(1, images[:1].size))
    pixels = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), step):
        pixels[start : start + step] = pixel_range.to_8_bits(images[start : start + step])
    return pixels


def write_pixel_range(file: TextIO, pixel_range: PixelRange) -> None:
    """Writes pixel_range.json."""
    json.dump(pixel_range._asdict(), file)
    file.write("\n")


def read_pixel_range(path: Path) -> PixelRange:
    """The range that a run reads images by; of a run that an earlier version began, that of the files.

    Raises:
        RunError: the file is damaged.
    """
    if not path.exists():
        return FULL_RANGE
    try:
        pixel_range = PixelRange(**json.loads(path.read_text(encoding="utf-8")))
        if 8 <= int(pixel_range.bits) <= _MOST_BITS and float(pixel_range.low) <= float(pixel_range.high):
            return pixel_range
    except PermissionError:
        raise
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{path} cannot be read ({error}); put it back from a copy of the run.") from error
    raise RunError(f"{path} is damaged; put it back from a copy of the run.")
