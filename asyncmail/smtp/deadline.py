"""The clock of a session: one deadline at a time, moved for every reply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PULSE = 60.0  # seconds between signs of life of those who wait within a clock of ours


class Deadline:
    """One deadline at a time, moved for every reply; the loop's timer is re-armed only when it must.

    ``beat`` is called from time to time, at least every ``PULSE`` seconds, before it has passed.
    """

    __slots__ = ("_beat", "_due", "_expired", "_loop", "_seconds", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        expired: Callable[[float], None],
        beat: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._expired = expired
        self._beat = beat
        self._due: float | None = None
        self._seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        due = self._loop.time() + seconds
        self._due, self._seconds = due, seconds
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._arm(due)

    def clear(self) -> None:
        self._due = None

    def stop(self) -> None:
        self._due = None
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._due > self._loop.time():
            self._beat()
            self._arm(self._due)
        else:
            self._expired(self._seconds)

    def _arm(self, due: float) -> None:
        self._timer = self._loop.call_at(min(due, self._loop.time() + PULSE), self._ring)
