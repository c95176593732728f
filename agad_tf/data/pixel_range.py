"""The values that are black and white in images of more than 8 bits: one range for a whole set.

A camera of 12 bits writes values up to 4095 into files of 16 bits, which would look nearly black in the full range of
the files. For whole numbers, the range is the fewest bits that hold all values of the set; for floating-point numbers,
it is from the lowest to the highest value.
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

# Depths of cameras. Wider numbers have no usual depths.
_DEPTHS = (8, 10, 12, 14, 16)
_MOST_BITS = 64
# Depths that fill their type; these need no note for the user.
_WIDTHS = (16, 32, 64)
# Usual ranges of floating-point numbers; the first that contains all values of a set is used.
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
        high: the floating-point number that is white; equal to `low` if the range is unknown.
    """

    bits: int = 16
    low: float = 0.0
    high: float = 0.0

    def to_8_bits(self, values: np.ndarray) -> np.ndarray:
        """Converts values to pixels; values beyond the range become black or white.

        Args:
            values: whole or floating-point numbers of any shape.

        Returns:
            uint8, of the same shape. For whole numbers, the upper 8 bits are kept.

        Raises:
            ValueError: floating-point numbers that are not finite, or whose range is unknown.
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
        """Notes for the user about how images with unusual values were read."""
        found, said = list(found), []
        if any(each.whole for each in found) and self.bits not in _WIDTHS:
            said.append(f"Values of more than 8 bits are read as {self.bits}-bit values: {2**self.bits - 1} is white.")
        if not all(each.whole for each in found):
            said.append(f"Floating-point values are read with {self.low:g} as black and {self.high:g} as white.")
        return said


FULL_RANGE = PixelRange()


@lru_cache
def _warn_of_brighter_values(bits: int) -> None:
    """Warns once that an image has another depth than the images that determined the range."""
    tqdm.write(
        f"agad_tf: An image has values above {2**bits - 1}, but the training images had {bits} bits; higher values "
        f"count as white. Give images of the same depth.",
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
    """Whether values lie in a usual range, except for rounding, and fill enough of it."""
    slack = (white - black) / 1000
    return black - slack <= low and white / 4 < high <= white + slack


def require_finite(values: np.ndarray) -> np.ndarray:
    """Returns the values if all are finite.

    Raises:
        ValueError: one is not a finite number.
    """
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite")
    return values


def in_pieces(images: np.ndarray, pixel_range: PixelRange) -> np.ndarray:
    """`PixelRange.to_8_bits` of many images, without a second copy of them in memory."""
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
    """The range by which a run reads images; for runs of earlier versions, the files' own range.

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
        raise RunError(f"{path} cannot be read ({error}); restore it from a copy of the run.") from error
    raise RunError(f"{path} is damaged; restore it from a copy of the run.")
