"""What happened, told to observers after the commit; without observers nothing is made of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from asyncmail.clock import Clock
from asyncmail.model import (
    Disposition,
    Event,
    EventKind,
    RecipientOutcome,
    Report,
    RetiredMessage,
)
from asyncmail.outcome import Decision, Next
from asyncmail.scheduler.observers import ObserverLane
from asyncmail.scheduler.results import Finished
from asyncmail.store.base import Lane, NewMessage

DRAIN_SECONDS = 0.5  # for the events that still wait when the service stops


def _unchanged(text: str) -> str:
    return text


class EventStream:
    """Turns what was committed into events, in the order of the commits, and queues them for each
    observer. Its methods never wait. ``mask`` takes secrets out of the words of servers."""

    def __init__(
        self,
        clock: Clock,
        lanes: Sequence[ObserverLane] = (),
        *,
        mask: Callable[[str], str] = _unchanged,
    ) -> None:
        self._clock = clock
        self._lanes = lanes
        self._mask = mask
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(lane.run(), name="observer") for lane in self._lanes]

    async def stop(self) -> None:
        """Tell what is still queued, but no longer than half a second."""
        if self._tasks:
            told = [asyncio.create_task(lane.all_told()) for lane in self._lanes]
            await asyncio.wait(told, timeout=DRAIN_SECONDS)
            for task in (*told, *self._tasks):
                task.cancel()
            await asyncio.gather(*told, *self._tasks, return_exceptions=True)
            self._tasks = []

    # --- messages ---

    def accepted(self, messages: Iterable[NewMessage]) -> None:
        """Messages were stored. Their generation is not known here."""
        if self._lanes:
            now = self._clock.wall()
            for new in messages:
                self._publish(
                    Event(
                        EventKind.ACCEPTED,
                        now,
                        new.tenant_id,
                        new.id,
                        new.account_id,
                        new.priority,
                    )
                )

    def recorded(self, group: Iterable[tuple[Finished, bool]]) -> None:
        """Results were committed; only those count whose claim still held."""
        if self._lanes:
            now = self._clock.wall()
            for finished, held in group:
                if held and finished.decision is not None:
                    self._result(finished, finished.decision, now)

    def _result(self, finished: Finished, decision: Decision, now: float) -> None:
        kind = _kind(decision)
        if kind is not None:
            claim, delivery = finished.claim, finished.delivery
            event = Event(
                kind,
                now,
                claim.lane.tenant_id,
                claim.id,
                claim.lane.account_id,
                claim.priority,
                claim.generation,
                self._masked(decision.error),
                decision.was_uncertain,
                recipients=tuple(map(self._outcome, delivery.outcomes)) if delivery else (),
            )
            self._publish(event)

    def reported(self, sink: str, reports: Iterable[Report]) -> None:
        """A sink's acknowledgement of these results was committed."""
        if self._lanes:
            now = self._clock.wall()
            for report in reports:
                event = Event(
                    EventKind.REPORTED,
                    now,
                    report.tenant_id,
                    report.id,
                    report.account_id,
                    report.priority,
                    report.generation,
                    self._masked(report.error),
                    sink=sink,
                )
                self._publish(event)

    def retired(self, messages: Iterable[RetiredMessage]) -> None:
        """Messages were deleted because retention let them go."""
        if self._lanes:
            now = self._clock.wall()
            for gone in messages:
                self._publish(
                    Event(EventKind.RETIRED, now, gone.tenant_id, gone.id, gone.account_id)
                )

    # --- accounts and the service ---

    def account_broken(self, lane: Lane, error: str) -> None:
        """An account's breaker opened: its mail waits."""
        self._account(EventKind.ACCOUNT_BROKEN, lane, error)

    def account_recovered(self, lane: Lane) -> None:
        """An account's breaker closed."""
        self._account(EventKind.ACCOUNT_RECOVERED, lane)

    def _account(self, kind: EventKind, lane: Lane, error: str | None = None) -> None:
        if self._lanes:
            now, masked = self._clock.wall(), self._masked(error)
            self._publish(
                Event(kind, now, lane.tenant_id, account_id=lane.account_id, error=masked)
            )

    def switched(self, *, active: bool) -> None:
        """Sending was suspended or goes on."""
        if self._lanes:
            kind = EventKind.ACTIVATED if active else EventKind.SUSPENDED
            self._publish(Event(kind, self._clock.wall()))

    # --- all ---

    def _publish(self, event: Event) -> None:
        for lane in self._lanes:
            lane.put(event)

    def _masked(self, text: str | None) -> str | None:
        return self._mask(text) if text else text

    def _outcome(self, outcome: RecipientOutcome) -> RecipientOutcome:
        """A server may repeat a password where it complains; where it accepts, it has none to name."""
        if outcome.disposition is Disposition.ACCEPTED or not outcome.text:
            return outcome
        return replace(outcome, text=self._mask(outcome.text))


def _kind(decision: Decision) -> EventKind | None:
    """``None``: nothing happened that is worth telling; recipients are left over for the next claim."""
    match decision.next:
        case Next.SENT:
            return EventKind.SENT
        case Next.ERROR:
            return EventKind.FAILED
        case Next.RETRY:
            return EventKind.DEFERRED
        case Next.AGAIN:
            return EventKind.DEFERRED if decision.error else None
