"""How long messages may wait for DNS together: a request has 5 s for all of its validators."""

from __future__ import annotations

from collections.abc import Callable

SAVED = 1.5  # seconds of waiting that may be spent at once
REGAINED = 0.3  # seconds of waiting, per second


class Patience:
    """A budget of waiting that refills; at most 3 s are spent in any 5 s. ``now``: seconds that pass."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._left = SAVED
        self._at = now()

    @property
    def left(self) -> float:
        """Seconds that may be spent now; 0 or less is none."""
        now = self._now()
        self._left = min(self._left + (now - self._at) * REGAINED, SAVED)
        self._at = now
        return self._left

    def spend(self, seconds: float) -> None:
        self._left = self.left - seconds
