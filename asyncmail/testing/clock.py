"""A clock that stands still until a test moves it."""

from __future__ import annotations


class ManualClock:
    """Both clocks of ``asyncmail.clock.Clock``, moved by hand; seconds."""

    def __init__(self, now: float = 1_750_000_000.0) -> None:
        self._wall = now
        self._steady = now

    def wall(self) -> float:
        return self._wall

    def steady(self) -> float:
        return self._steady

    def advance(self, seconds: float) -> None:
        """Let time pass: both clocks move on."""
        if seconds < 0:
            raise ValueError("time does not run backwards; use set_wall for a clock set back")
        self._wall += seconds
        self._steady += seconds

    def set_wall(self, now: float) -> None:
        """Set the wall clock, as an operator or NTP might; steady time does not notice."""
        self._wall = now
