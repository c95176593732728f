"""Times the parts of a run. Every second belongs to exactly one part, so the parts add up to the whole.

A process has one clock. Each room names the part that it works on, so no clock is passed as an argument.
"""

import contextlib
import time
from collections.abc import Iterator


class Clock:
    """A clock that always counts for one part of a run, at first for "other"."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._part = "other"
        self._since = time.monotonic()
        self._has_begun = False

    def begin_run(self) -> None:
        """Forgets earlier runs of the process; time before the first run, such as imports, counts for that run."""
        if self._has_begun:
            self._seconds, self._since = {}, time.monotonic()
        self._has_begun = True

    def enter(self, part: str) -> str:
        """Counts the time from now on for another part.

        Args:
            part: its name, as users read it.

        Returns:
            The part before.
        """
        now, before = time.monotonic(), self._part
        self._seconds[before] = self._seconds.get(before, 0.0) + now - self._since
        self._part, self._since = part, now
        return before

    @contextlib.contextmanager
    def within(self, part: str) -> Iterator[None]:
        """Counts the time inside for a part, and not for the part around it; also a decorator.

        Args:
            part: its name, as users read it.
        """
        before = self.enter(part)
        try:
            yield
        finally:
            self.enter(before)

    def seconds_by_part(self) -> dict[str, float]:
        """The seconds of each part so far, by its name, in the order in which the parts first ended."""
        self.enter(self._part)
        return dict(self._seconds)


CLOCK = Clock()
