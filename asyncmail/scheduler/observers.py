"""One observer's lane: a bounded queue of events, told one after the other by a task of its own."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial
from math import inf
from typing import Final

from asyncmail.clock import Clock
from asyncmail.model import Event
from asyncmail.plugins.guard import (
    OBSERVER_DEADLINE,
    ExtensionFailed,
    ExtensionQuarantined,
    ExtensionTimeout,
    Guard,
    GuardedTask,
)
from asyncmail.plugins.interfaces import Observer
from asyncmail.plugins.kinds import Loaded
from asyncmail.prometheus import MailMetrics

log: Final = logging.getLogger("asyncmail.events")

CAPACITY = 10_000  # events that may wait for one observer; then the oldest go
BREATH = 20  # events after which other tasks get their turn
QUARANTINE_LOOK = 1.0  # seconds between looks whether a quarantine is over
LOG_SECONDS = 60.0  # between two complaints about dropped events


class ObserverLane:
    """Events for one observer. While it is quarantined they wait; beyond ``capacity`` the oldest are
    dropped and counted, so that nobody ever waits for an observer."""

    def __init__(
        self,
        observer: Loaded[Observer],
        guard: Guard,
        clock: Clock,
        metrics: MailMetrics,
        *,
        capacity: int = CAPACITY,
    ) -> None:
        self._observer = observer
        self._guard = guard
        self._clock = clock
        self._metrics = metrics
        self._capacity = capacity
        self._queue: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._all_told = asyncio.Event()
        self._unlogged = 0  # dropped since the last complaint
        self._logged_at = -inf
        metrics.observer_dropped(observer.name, 0)

    def put(self, event: Event) -> None:
        """Queue an event; never waits."""
        if len(self._queue) >= self._capacity:
            self._queue.popleft()
            self._dropped(1)
        self._queue.append(event)
        self._all_told.clear()
        self._arrived.set()

    async def run(self) -> None:
        """Tell the observer until cancelled; what is left then is dropped."""
        try:
            while True:
                if not self._queue:
                    self._all_told.set()
                    self._arrived.clear()
                    await self._arrived.wait()
                try:
                    await self._guard.start(self._tell).result()
                except ExtensionTimeout:
                    continue  # that call is abandoned; the other events go on in a new task
                except ExtensionQuarantined as error:
                    await asyncio.sleep(min(error.retry_after, QUARANTINE_LOOK))
        finally:
            if self._queue:
                self._dropped(len(self._queue))

    async def all_told(self) -> None:
        """Wait until nothing is queued and no call is under way."""
        await self._all_told.wait()

    async def _tell(self, task: GuardedTask[None]) -> None:
        """Everything that waits, one call after the other in one guarded task."""
        observer = self._observer
        told = 0
        while self._queue:
            event = self._queue.popleft()
            try:
                await task.call(
                    observer,
                    partial(observer.extension.notice, event),
                    deadline=OBSERVER_DEADLINE,
                )
            except ExtensionFailed:  # logged and counted by the guard
                continue
            except ExtensionQuarantined:
                self._queue.appendleft(event)  # refused at once, so its place is still free
                raise
            told += 1
            if told % BREATH == 0:
                await asyncio.sleep(0)

    def _dropped(self, count: int) -> None:
        self._metrics.observer_dropped(self._observer.name, count)
        self._unlogged += count
        now = self._clock.steady()
        if now - self._logged_at >= LOG_SECONDS:
            log.warning("%s does not keep up; events dropped: %d", self._observer, self._unlogged)
            self._unlogged, self._logged_at = 0, now
