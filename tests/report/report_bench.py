"""A reporter between a real SQLite store and a sink that does what the test says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from asyncmail import Ack, Sink
from asyncmail.clock import Clock
from asyncmail.model import Report
from asyncmail.plugins.guard import Guard
from asyncmail.plugins.kinds import Kind, Loaded
from asyncmail.prometheus import MailMetrics
from asyncmail.scheduler.events import EventStream
from asyncmail.scheduler.report import Reporter
from asyncmail.store.base import Lane, NewMessage, Pick, Result
from asyncmail.store.sqlite import SQLiteStore
from asyncmail.testing.clock import ManualClock

Behaviour = Callable[[Sequence[Report]], Awaitable[Any]]
LANE = Lane("default", "shop")


async def take_all(reports: Sequence[Report]) -> Ack:
    return Ack()


class ScriptedSink(Sink):
    """Notes the ids of each call and answers as ``behave`` says."""

    max_batch = 10
    timeout = 5.0

    def __init__(self, behave: Behaviour = take_all, poll_seconds: float | None = None) -> None:
        self.behave = behave
        self.poll_seconds = poll_seconds
        self.calls: list[list[str]] = []
        self.taken: list[str] = []

    async def deliver(self, reports: Sequence[Report]) -> Any:
        self.calls.append([report.id for report in reports])
        answer = await self.behave(reports)
        if answer == Ack():
            self.taken += self.calls[-1]
        return answer


class Bench:
    """What a test holds in its hands; ``finish`` makes results that are due to every sink."""

    def __init__(self, store: SQLiteStore, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        self.metrics = MailMetrics()
        self.guard = Guard(
            clock, on_failure=lambda loaded, _: self.metrics.plugin_error(loaded.name, loaded.kind)
        )

    async def finish(self, *ids: str, error: str | None = None) -> None:
        """Accept these messages and record their final result, one after the other."""
        now = self.clock.wall()
        new = [NewMessage("default", name, "shop", 2, now, payload="{}") for name in ids]
        await self.store.add(new)
        found = await self.store.claim([Pick(LANE, (2,), len(ids))], max_bytes=1 << 30)
        moment = {"error_ts": int(now), "error": error} if error else {"sent_ts": int(now)}
        results = [Result(c.key, c.token, c.lane, **moment) for c in found.claims]
        assert await self.store.record(results) == [True] * len(ids)

    def reporter(
        self,
        sink: Sink,
        name: str = "app",
        *,
        clock: Clock | None = None,
        test_mode: bool = False,
        spread: Callable[[], float] = lambda: 0.0,
    ) -> Reporter:
        """A reporter to this sink; without a spread its distances are exact."""
        loaded = Loaded(Kind.SINK, name, "tests", "1", sink)
        return Reporter(
            self.store,
            loaded,
            self.guard,
            clock or self.clock,
            self.metrics,
            EventStream(self.clock),
            test_mode=test_mode,
            spread=spread,
        )

    async def unreported(self, sink: str = "app") -> list[str]:
        """The ids that the store would offer now."""
        return [report.id for report in await self.store.unreported(sink, 10_000)]

    async def reported(self, id: str) -> bool:
        history = await self.store.history("default", id)
        assert history is not None
        return history.record.reported_ts is not None
