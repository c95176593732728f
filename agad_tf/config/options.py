"""What an option is: a field of a dataclass with a default, a text, and the values that it may take."""

import dataclasses
import math
import re
from typing import Any

from agad_tf.config.choices import NATIVE, SIZE_MULTIPLE
from agad_tf.config.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Interval:
    """The numbers that an option may take; an end that is None means infinity."""

    low: float | None = None
    high: float | None = None
    low_included: bool = True
    high_included: bool = True

    def __contains__(self, value: float) -> bool:
        above = self.low is None or (value >= self.low if self.low_included else value > self.low)
        below = self.high is None or (value <= self.high if self.high_included else value < self.high)
        # NaN compares as false with everything; infinity is not a valid setting.
        return above and below and abs(value) < float("inf")

    def __str__(self) -> str:
        ends = []
        if self.low is not None:
            ends.append(f"{'at least' if self.low_included else 'more than'} {self.low:g}")
        if self.high is not None:
            ends.append(f"{'at most' if self.high_included else 'less than'} {self.high:g}")
        return " and ".join(ends)


class Unsaid(int):
    """A default value, distinguishable from an equal number that the user gave.

    The value may then adapt to other options, or the user is asked.
    """


class UnsaidName(str):
    """A default name, like `Unsaid` for numbers."""

    __slots__ = ()


POSITIVE = Interval(0, low_included=False)
NOT_NEGATIVE = Interval(0)
COUNT = Interval(1)


def parse_threshold(text: str) -> tuple[str, float]:
    """Reads a rule for the threshold.

    Args:
        text: "auto", "f1", "fpr=0.01", "quantile=0.99" or a number.

    Returns:
        "auto", "f1", "fpr", "quantile" or "number", and the number that goes with it, or 0.

    Raises:
        ValueError: it is none of these.
    """
    if text in ("auto", "f1"):
        return text, 0.0
    kind, equals, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if equals and kind in ("fpr", "quantile") and 0 <= value < 1:
        return kind, value
    if not equals and math.isfinite(value):
        return "number", value
    raise ValueError("give auto, f1, fpr=0.01, quantile=0.99 (a share from 0 to below 1) or a score.")


def parse_budget(text: str) -> float:
    """Reads a time budget.

    Args:
        text: a number with its unit, such as "30s", "90m" or "2h"; empty means no limit.

    Returns:
        Seconds, above 0; infinity for an empty text.

    Raises:
        UsageError: it is none of these.
    """
    if not text:
        return math.inf
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not found or not float(found[1]):
        raise UsageError(f"--budget is '{text}'; give a number above 0 and its unit, such as 3m, 90m or 2h.")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


def parse_image_size(value: int | str) -> int | str | tuple[int, int]:
    """Reads the size that images are resized to.

    Args:
        value: a side in pixels, a height and a width such as "384x512", or "native".

    Returns:
        The side, height and width, or "native".

    Raises:
        ValueError: it is none of these, or not in multiples of 16.
    """
    if value == NATIVE:
        return NATIVE
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", str(value))
    sides = [int(side) for side in found.groups() if side] if found else []
    if not sides or any(side < SIZE_MULTIPLE or side % SIZE_MULTIPLE for side in sides):
        raise ValueError(
            "the networks halve an image four times, so choose multiples of 16: a side such as 32, 64 or 128, height "
            "and width such as 384x512, or native."
        )
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def option(default: Any, text: str, *, choices: tuple[str, ...] = (), interval: Interval | None = None) -> Any:
    """A field of the configuration that is a flag as well."""
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices, "interval": interval})
