"""The circuit breaker of an account: a wrong password must not fail ten thousand messages.

Times are steady seconds. While it is open the account's mail waits; then one message is let through
as a probe, and its fate closes the breaker or opens it for longer.
"""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_DELAY = 5.0
LONGEST_DELAY = 300.0


class Breaker:
    """Opens at an account problem, with a growing delay, spread so that accounts do not march in step."""

    def __init__(self, spread: Callable[[], float] = random.random) -> None:
        self._spread = spread
        self._failures = 0
        self.retry_at: float | None = None
        self.last_error: str | None = None

    @property
    def is_open(self) -> bool:
        """True from the first failure until a success, the time of probing included."""
        return self.retry_at is not None

    def fail(self, now: float, error: str, wish: float | None = None) -> None:
        """An attempt met an account problem; ``wish``: seconds that the server asked for.

        Failures that were under way when it opened do not lengthen the delay.
        """
        self.last_error = error
        if self.retry_at is not None and now < self.retry_at:
            return
        delay = min(FIRST_DELAY * 2**self._failures, LONGEST_DELAY) * (1 + 0.2 * self._spread())
        self._failures += 1
        self.retry_at = now + max(delay, wish or 0.0)

    def close(self) -> None:
        """The account works, or was changed so that it may."""
        self._failures = 0
        self.retry_at = None
        self.last_error = None
