"""Who may start how much: the sharing of slots among accounts and priorities.

A lane is one account's share. Nothing here touches the store: ``plan`` turns what is known of the lanes
into picks, and the dispatcher says what came of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from asyncmail.model import Account, OnUncertain, Priority
from asyncmail.scheduler.breaker import Breaker
from asyncmail.store.base import Lane, Pick

NOTHING: Final[Mapping[Lane, int]] = {}
ALL_PRIORITIES = tuple(int(p) for p in Priority)
LOWER_PRIORITIES = tuple(int(p) for p in Priority if p is not Priority.IMMEDIATE)
AGING_SLOTS = 20  # of so many slots, each lower priority that is ready gets at least one
IN_FLIGHT_SECONDS = (
    0.15  # a connection is kept supplied for this long ahead, at the lane's own pace
)
PACE_WEIGHT = 0.2  # of the newest delivery in the moving average


@dataclass(slots=True)
class LaneState:
    """What the dispatcher knows of a lane now."""

    lane: Lane
    breaker: Breaker
    account: Account | None = None
    in_flight: int = 0
    moved_at: float = 0.0  # steady; the last end of a delivery, or start of the first one in flight
    limited_until: float | None = None  # steady; no unit of the rate limit before
    pace: float | None = None  # seconds per delivery, moving average
    ready: set[int] = field(default_factory=set)  # priorities that may have something ready
    hints: int = 0  # rises with each hint, so that one arriving during a claim is not lost
    skipped: dict[int, int] = field(default_factory=lambda: dict.fromkeys(LOWER_PRIORITIES, 0))

    def hint(self, priorities: Iterable[int]) -> None:
        """Something of these priorities may be ready here."""
        self.ready.update(priorities)
        self.hints += 1

    def claimed(
        self,
        picks: Collection[Pick],
        found: Collection[int],
        *,
        exhausted: bool,
        cut_short: bool = False,
    ) -> None:
        """Learn from a claim: what was picked, the priorities it found, and whether that was all.

        One that was cut short says nothing about what it did not find.
        """
        if exhausted and any(len(pick.priorities) > 1 for pick in picks):
            self.ready.clear()
            return
        for pick in () if cut_short else picks:
            if len(pick.priorities) == 1 and pick.priorities[0] not in found:
                self.ready.discard(pick.priorities[0])

    def observe(self, seconds: float, now: float) -> None:
        """A delivery that ends now took that long, waiting for a connection not included."""
        self.moved_at = now
        self.pace = (
            seconds if self.pace is None else self.pace + PACE_WEIGHT * (seconds - self.pace)
        )

    def blocked_until(self, now: float) -> float | None:
        """Steady time until which nothing may start, or ``None``."""
        times = [t for t in (self.breaker.retry_at, self.limited_until) if t and t > now]
        return max(times, default=None)


@dataclass(frozen=True, slots=True)
class Slots:
    """The limits of one process: slots in all, and connections of an account that names no number."""

    concurrency: int
    max_connections: int
    quantum: int

    @property
    def reserved(self) -> int:
        """Slots that only immediate messages may take."""
        return max(1, self.concurrency // 20) if self.concurrency > 1 else 0


class Lanes:
    """All lanes, in the order in which they take turns."""

    def __init__(self, slots: Slots, new_breaker: Callable[[], Breaker]) -> None:
        self._slots = slots
        self._new_breaker = new_breaker
        self._states: dict[Lane, LaneState] = {}
        self._turn = 0
        self.in_flight = 0

    def __iter__(self) -> Iterator[LaneState]:
        return iter(list(self._states.values()))

    def state(self, lane: Lane) -> LaneState:
        """The state of a lane, made at first sight."""
        state = self._states.get(lane)
        if state is None:
            state = self._states[lane] = LaneState(lane, self._new_breaker())
        return state

    def hint(self, lanes: Iterable[Lane], priorities: Collection[int] = ALL_PRIORITIES) -> None:
        """Messages of these priorities may have become ready in these lanes."""
        for lane in lanes:
            self.state(lane).hint(priorities)

    def forget(self, lane: Lane) -> None:
        """Drop the state of a deleted account once nothing of it is in flight."""
        state = self._states.get(lane)
        if state is not None and not state.in_flight:
            del self._states[lane]

    def started(self, lane: Lane, now: float) -> None:
        state = self.state(lane)
        if not state.in_flight:
            state.moved_at = now
        state.in_flight += 1
        self.in_flight += 1

    def ended(self, lane: Lane, now: float) -> None:
        state = self.state(lane)
        state.moved_at = now
        state.in_flight -= 1
        self.in_flight -= 1

    def next_unblocked(self, now: float) -> float | None:
        """When (steady) the first lane that waits for its breaker or limit may start again."""
        times = [s.blocked_until(now) for s in self._states.values() if s.ready]
        return min((t for t in times if t is not None), default=None)

    def may_start(self, now: float, handed: Mapping[Lane, int] = NOTHING) -> bool:
        """Whether there are free slots and a lane that may have something ready for them."""
        free = self._slots.concurrency - self.in_flight + sum(handed.values())
        return free > 0 and any(self._may_start(state, now) for state in self._states.values())

    def _may_start(self, state: LaneState, now: float) -> bool:
        return state.account is not None and bool(state.ready) and state.blocked_until(now) is None

    def plan(self, now: float, handed: Mapping[Lane, int] = NOTHING) -> list[Pick]:
        """Share the free slots among the lanes that may have something ready.

        ``handed``: slots in flight that will be free before the picks are claimed.

        Round robin with a quantum, starting one lane further each time. Immediate messages have
        slots of their own, globally and per lane, so that they overtake any backlog.
        """
        ready = [s for s in self._states.values() if self._may_start(s, now)]
        if not ready:
            return []
        self._turn = (self._turn + 1) % len(ready)
        ready = ready[self._turn :] + ready[: self._turn]
        free = self._slots.concurrency - self.in_flight + sum(handed.values())
        granted = self._grant(ready, max(free - self._slots.reserved, 0), now, handed)
        left = free - sum(granted.values())
        crowded = len(ready) > 1
        picks: list[Pick] = []
        for state in ready:
            count = granted[state.lane]
            if count:
                picks.extend(_pick(state, count))
            elif left > 0 and self._may_overtake(state, now, crowded=crowded):
                picks.append(Pick(state.lane, (int(Priority.IMMEDIATE),), 1, _hold(state)))
                left -= 1
        return picks

    def _grant(
        self, ready: list[LaneState], free: int, now: float, handed: Mapping[Lane, int]
    ) -> dict[Lane, int]:
        crowded = len(ready) > 1
        room = {s.lane: self._room(s, now, handed.get(s.lane, 0), crowded=crowded) for s in ready}
        granted = {s.lane: 0 for s in ready}
        while free > 0 and room:
            for state in ready:
                quantum = (state.account and state.account.batch_size) or self._slots.quantum
                count = min(quantum, room.get(state.lane, 0), free)
                granted[state.lane] += count
                free -= count
                if state.lane in room:
                    room[state.lane] -= count
                    if room[state.lane] <= 0:
                        del room[state.lane]
        return granted

    def _room(self, state: LaneState, now: float, handed: int, *, crowded: bool) -> int:
        """How many more a lane may start; a broken one lets a single probe through."""
        if state.breaker.is_open:
            return 0 if state.in_flight else 1
        return max(self._cap(state, now, crowded=crowded) - state.in_flight + handed, 0)

    def _may_overtake(self, state: LaneState, now: float, *, crowded: bool) -> bool:
        """One slot beyond its room, for the connection that is kept for immediate messages."""
        if (
            Priority.IMMEDIATE not in state.ready
            or state.breaker.is_open
            or self._connections(state) == 1
        ):
            return False
        return state.in_flight <= self._cap(state, now, crowded=crowded)

    def _cap(self, state: LaneState, now: float, *, crowded: bool) -> int:
        """Enough to keep its connections supplied at its own pace, and a bounded share of all slots.

        A lane that does not move holds no more than it has connections, and one that was fast until
        its server fell silent never has so many that the other accounts are left without.
        """
        standstill = now - state.moved_at if state.in_flight else 0.0
        pace = max(state.pace, standstill) if state.pace else None
        depth = max(1.0, IN_FLIGHT_SECONDS / pace) if pace else 1.0
        share = self._slots.concurrency
        if crowded:
            share //= 4
        elif sum(s.account is not None for s in self._states.values()) > 1:
            share //= 2
        return min(int(self._connections(state) * depth), max(share, 1))

    def _connections(self, state: LaneState) -> int:
        return (state.account and state.account.max_connections) or self._slots.max_connections


def _pick(state: LaneState, count: int) -> Iterator[Pick]:
    """The aged priorities' due share first, then by priority; one alone needs no share."""
    left = count
    for priority in LOWER_PRIORITIES if len(state.ready) > 1 else ():
        if priority not in state.ready:
            continue
        passed = state.skipped[priority] + count
        due = min(passed // AGING_SLOTS, left)
        state.skipped[priority] = passed - due * AGING_SLOTS
        if due:
            yield Pick(state.lane, (priority,), due, _hold(state))
            left -= due
    if left:
        yield Pick(state.lane, ALL_PRIORITIES, left, _hold(state))


def _hold(state: LaneState) -> bool:
    return state.account is not None and state.account.on_uncertain is OnUncertain.HOLD
