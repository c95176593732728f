"""Where the time of a run goes. Every second belongs to one part, so that the parts add up to the whole.

A process has one clock, as it has one time: each room names the part that it works on, and nothing is passed around.
"""

import contextlib
import time
from collections.abc import Iterator


class Clock:
    """A clock that is always in one part of a run, at first in "other"."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._part = "other"
        self._since = time.monotonic()
        self._has_begun = False

    def begin_run(self) -> None:
        """Forgets earlier runs of the process; what came before its first run, such as imports, counts with that."""
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
        """Counts what happens inside for a part, and not for the one around it; a decorator as well.

        Args:
            part: its name, as users read it.
        """
        before = self.enter(part)
        try:
            yield
        finally:
            self.enter(before)

    def seconds_by_part(self) -> dict[str, float]:
        """The seconds of each part so far, by its name, in the order in which they were first left."""
        self.enter(self._part)
        return dict(self._seconds)


CLOCK = Clock()
