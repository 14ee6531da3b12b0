"""The promises of an observer: it takes note of every event, quickly, and disturbs nobody."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import pytest

from asyncmail.model import Event, EventKind
from asyncmail.plugins.interfaces import Observer
from asyncmail.testing import samples
from asyncmail.testing.suites.base import Suite
from asyncmail.testing.suites.calls import promise
from asyncmail.testing.suites.rules import reaches_peer

DEADLINE = 1.0  # of one event
BURST = 200  # events in a row


class ObserverSuite(Suite[Observer]):
    """Subclass it as ``class TestMine(ObserverSuite)`` and say ``offer``; see ``Suite``.

    Override ``noticed`` (what arrived where the observer writes, as ids in order) to have it tried
    that no event is missed.
    """

    kind = Observer

    @pytest.fixture
    def events(self) -> Sequence[Event]:
        return samples.events()

    async def noticed(self, extension: Observer) -> Sequence[str | None] | None:
        """The ids of the events that it took note of, in order; ``None``: nobody can tell."""
        return None

    async def use(self, extension: Observer) -> None:
        for event in samples.events():
            await self.told(extension, event)

    async def told(self, observer: Observer, event: Event) -> None:
        what = f"{self.called('notice')} of '{event.kind}'"
        answer: object = await self.ask(
            what,
            lambda: observer.notice(event),
            advice="take every kind of event, also ones that are not of interest, and any of its fields"
            " may be None",
            seconds=min(DEADLINE, self.seconds),
        )
        promise(
            answer is None, f"{what} returned {answer!r}: an observer has no say, return nothing"
        )

    @reaches_peer
    async def test_every_kind_of_event_is_taken(
        self, extension: Observer, events: Sequence[Event]
    ) -> None:
        for event in events:
            await self.told(extension, event)

    @reaches_peer
    async def test_a_burst_is_taken_in_time_and_in_order(self, extension: Observer) -> None:
        burst = [
            Event(EventKind.SENT, samples.NOW, id=f"burst-{n}", account_id="shop")
            for n in range(BURST)
        ]

        async def all_of_it() -> None:
            for event in burst:
                await extension.notice(event)

        advice = "take events as fast as they come: buffer, and write from a task of your own"
        await self.ask(f"{self.called('notice')} of {BURST} events", all_of_it, advice=advice)
        found = await self.noticed(extension)
        if found is not None:
            ids = [id for id in found if id and id.startswith("burst-")]
            promise(
                ids == [event.id for event in burst],
                f"{self.called('notice')} took note of {len(ids)} of {BURST} events, or in another order"
                " than it was told",
            )

    @reaches_peer
    async def test_events_are_not_touched(
        self, extension: Observer, events: Sequence[Event]
    ) -> None:
        before = deepcopy(list(events))
        for event in events:
            await self.told(extension, event)
        promise(
            list(events) == before,
            f"{self.called('notice')} changed an event: other observers get the same one",
        )
