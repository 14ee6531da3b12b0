"""Which reports go into the next call to a sink: as many as pass, and those that spoil a call alone.

A list that fails is halved until the entry that spoils it is alone. If it is refused, or fails although
others get through, it is put off, and from then on tried by itself. If nothing gets through, the sink
is down, and no entry is blamed for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asyncmail.model import Report

SAME_LIST_FAILURES = 3  # until a list that is not refused, but fails, is halved
FIRST_PUT_OFF = 30.0  # seconds
LONGEST_PUT_OFF = 900.0
MAX_SUSPECTS = 1000  # beyond, no record is kept of them


@dataclass(frozen=True, slots=True)
class Consequence:
    """What a failed call means: the next list is another one (``narrowed``), or the single report of
    this one is to be put off (seconds); or neither, and the same list is offered again."""

    narrowed: bool = False
    put_off: float | None = None


class Sifter:
    """The memory of one sink's calls. ``choose`` is always followed by ``passed`` or ``failed``."""

    def __init__(self, max_batch: int) -> None:
        self._max_batch = max_batch
        self._limit = max_batch
        self._narrow = 0  # entries of the list that failed and have not passed in smaller ones yet
        self._failed: tuple[int, ...] = ()
        self._times = 0
        self._suspects: dict[int, int] = {}  # key to how often it was put off
        self._healthy = False  # another entry got through since the sink itself last failed

    @property
    def wish(self) -> int:
        """How many reports to ask the store for, so that suspects do not hide the others."""
        return self._limit + len(self._suspects)

    def choose(self, found: Sequence[Report]) -> list[Report]:
        """The next list, with no id twice; a single suspect if there is nothing else."""
        others: dict[str, Report] = {}
        for report in found:
            if report.key not in self._suspects:
                others.setdefault(report.id, report)
        return list(others.values())[: self._limit] or list(found[:1])

    def passed(self, batch: Sequence[Report], acknowledged: Sequence[Report]) -> None:
        """The sink answered this list; it goes back to longer ones once the failed list is through."""
        for report in acknowledged:
            self._suspects.pop(report.key, None)
        self._healthy = self._healthy or bool(acknowledged)
        self._failed, self._times = (), 0
        self._narrow -= len(batch)
        if self._narrow <= 0:
            self._limit = min(self._limit * 2, self._max_batch)

    def failed(self, batch: Sequence[Report], *, refused: bool) -> Consequence:
        """The call failed; ``refused``: because of what is in the list."""
        known = bool(batch) and batch[0].key in self._suspects
        if not (refused or known or self._narrow > 0):
            self._healthy = False
        if not batch:
            return Consequence()
        keys = tuple(report.key for report in batch)
        self._times = self._times + 1 if keys == self._failed else 1
        self._failed = keys
        self._limit = len(batch)  # so that the same list is offered again, whatever came meanwhile
        if not (refused or known or self._times >= SAME_LIST_FAILURES):
            return Consequence()
        self._times = 0
        if len(batch) > 1:
            self._narrow = len(batch)
            self._limit = len(batch) // 2
            return Consequence(narrowed=True)
        self._narrow = 0
        if refused or self._healthy:
            return Consequence(put_off=self._seconds(keys[0]))
        if len(self._suspects) < MAX_SUSPECTS:
            self._suspects.setdefault(keys[0], 0)
        return Consequence(narrowed=not known)

    def _seconds(self, key: int) -> float:
        """For how long this one is put off now; longer each time."""
        times = self._suspects.get(key, 0)
        if key in self._suspects or len(self._suspects) < MAX_SUSPECTS:
            self._suspects[key] = times + 1
        return min(FIRST_PUT_OFF * 2.0**times, LONGEST_PUT_OFF)
