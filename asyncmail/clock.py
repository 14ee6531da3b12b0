"""Time, as the whole service sees it: two clocks behind one small object.

The wall clock stamps ``*_ts`` and decides what the calendar decides (``deferred_ts``, retention).
Everything that measures a distance (backoff, leases, rate windows) uses steady time: the wall time at
start plus the monotonic seconds since, so that a clock set forward or back moves nothing else.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the service asks of time; tests hand in one that they move by hand."""

    def wall(self) -> float:
        """Seconds since the epoch, UTC, as the machine believes now."""

    def steady(self) -> float:
        """Seconds on a scale that starts at the wall time of the start and never jumps."""


class SystemClock:
    """The machine's own clocks."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def wall(self) -> float:
        return time.time()

    def steady(self) -> float:
        return self._offset + time.monotonic()
