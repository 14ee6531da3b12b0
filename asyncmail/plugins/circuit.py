"""The guard's memory: which extensions fail, which are left alone, and when they are tried again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from asyncmail.clock import Clock
from asyncmail.plugins.failures import ExtensionQuarantined
from asyncmail.plugins.interfaces import Extension
from asyncmail.plugins.kinds import Kind, Loaded

log: Final = logging.getLogger("asyncmail.guard")

MAX_FAILURES = 5  # in a row, then the circuit opens
PROBE_AFTER = 30.0  # seconds until one call may try again
PROBE_RUNNING = 1.0  # seconds to wait while somebody else's probe is under way
MAX_ABANDONED = 16  # calls of one extension that ignored their cancellation and still run


class Circuit:
    """One extension's failures in a row. Open: no calls, but for one probe every 30 seconds.

    While 16 abandoned calls still run there is not even a probe: each would leave another one behind.
    """

    __slots__ = (
        "_answered",
        "_probing",
        "_quiet_since",
        "abandoned",
        "failures",
        "last_failure",
        "open_until",
    )

    def __init__(self) -> None:
        self.failures = 0
        self.abandoned = 0
        self.last_failure = ""
        self.open_until: float | None = None
        self._probing = False
        self._answered = True
        self._quiet_since = 0.0

    def refuses(self, now: float) -> float | None:
        """``None``: call it. Else the seconds after which asking again may help."""
        if self.abandoned >= MAX_ABANDONED:
            return PROBE_AFTER
        if self.open_until is None:
            return None
        if self._probing:
            return PROBE_RUNNING
        if now < self.open_until:
            return self.open_until - now
        self._probing = True
        return None

    @property
    def is_out(self) -> bool:
        """Whether calls are refused, but for a probe."""
        return self.open_until is not None or self.abandoned >= MAX_ABANDONED

    def answer(self) -> None:
        self._answered = True

    def quiet_since(self, now: float) -> float:
        """When, as far as was looked, it last answered; to be asked again and again."""
        if self._answered:
            self._answered = False
            self._quiet_since = now
        return self._quiet_since

    def close(self) -> None:
        self.failures = 0
        self.open_until = None
        self._probing = False

    def strike(self, now: float, why: str, *, may_open: bool) -> None:
        """One more failure; a failed probe keeps the circuit open."""
        self.failures += 1
        self.last_failure = why
        self._probing = False
        if may_open and self.failures >= MAX_FAILURES:
            self.open_until = now + PROBE_AFTER

    def stall(self, now: float, why: str) -> None:
        """Calls are under way and none is answered, which is as bad as failures in a row."""
        self.failures = MAX_FAILURES
        self.last_failure = why
        self.open_until = now + PROBE_AFTER

    def withdraw(self) -> None:
        """The call was taken back by its owner, which says nothing about the extension."""
        self._probing = False


class Records:
    """The circuits of all extensions, and whom to tell.

    ``on_failure(loaded, cause)`` is called for each failure, ``on_state(loaded, is_up)`` when a
    quarantine begins or ends.
    """

    def __init__(
        self,
        clock: Clock,
        on_failure: Callable[[Loaded[Extension], str], None],
        on_state: Callable[[Loaded[Extension], bool], None] | None,
    ) -> None:
        self._clock = clock
        self._on_failure = on_failure
        self._on_state = on_state
        self._circuits: dict[Loaded[Extension], Circuit] = {}

    def of(self, loaded: Loaded[Extension]) -> Circuit:
        circuit = self._circuits.get(loaded)
        if circuit is None:
            circuit = self._circuits[loaded] = Circuit()
        return circuit

    def admit(self, loaded: Loaded[Extension], now: float) -> None:
        """Raises ``ExtensionQuarantined`` if the extension is not to be called now."""
        circuit = self.of(loaded)
        wait = circuit.refuses(now)
        if wait is not None:
            raise ExtensionQuarantined(loaded, wait, circuit.last_failure)

    def answered(self, loaded: Loaded[Extension]) -> None:
        circuit = self.of(loaded)
        circuit.answer()
        if circuit.failures:
            was_open = circuit.open_until is not None
            circuit.close()
            if was_open:
                log.warning("%s answers again, its quarantine is over", loaded)
                self._tell(loaded, True)

    def failed(self, loaded: Loaded[Extension], cause: str, *, expired: bool = False) -> None:
        """A validator that raises has answered, for it concerns one message; only its expiries count.
        Sinks are never quarantined, since whoever reports to them backs off by itself."""
        self.complain(loaded, cause)
        if loaded.kind is Kind.VALIDATOR and not expired:
            self.answered(loaded)
            return
        circuit = self.of(loaded)
        was_open = circuit.open_until is not None
        circuit.strike(self._clock.steady(), cause, may_open=loaded.kind is not Kind.SINK)
        if circuit.open_until is not None and not was_open:
            log.error("%s is quarantined after %d failures in a row", loaded, circuit.failures)
            self._tell(loaded, False)

    def complain(self, loaded: Loaded[Extension], cause: str) -> None:
        """Log and count what an extension did wrong, without a strike."""
        log.warning("%s failed: %s", loaded, cause)
        self._on_failure(loaded, cause)

    def stalled(self, loaded: Loaded[Extension], calls: int, seconds: float) -> None:
        """So many calls have been under way for so long, and none was answered meanwhile."""
        circuit = self.of(loaded)
        if circuit.open_until is None:
            cause = f"{calls} calls without an answer for {seconds:g} s"
            circuit.stall(self._clock.steady(), cause)
            log.error("%s is quarantined: %s", loaded, cause)
            self._tell(loaded, False)

    def _tell(self, loaded: Loaded[Extension], is_up: bool) -> None:
        if self._on_state is not None:
            self._on_state(loaded, is_up)
