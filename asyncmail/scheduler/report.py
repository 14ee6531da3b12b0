"""The report loop of one sink: brings results to it until it has acknowledged them.

Nothing of the store is held while the sink is called: a receiver may well call back into this service
before it answers. What a failed call means for the next list is in ``sift``.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from functools import partial
from math import inf, isfinite
from typing import Any, Final

from asyncmail.clock import Clock
from asyncmail.errors import PluginError, SinkRefused, SinkUnavailable, StoreError
from asyncmail.failpoints import failpoint
from asyncmail.model import Report
from asyncmail.plugins.guard import Guard
from asyncmail.plugins.interfaces import ALL, Ack, Sink
from asyncmail.plugins.kinds import Loaded
from asyncmail.prometheus import MailMetrics
from asyncmail.scheduler.events import EventStream
from asyncmail.scheduler.sift import Sifter
from asyncmail.store.base import Store

log: Final = logging.getLogger("asyncmail.report")

FIRST_BACKOFF = 1.0  # seconds, like all of these
LONGEST_BACKOFF = 300.0
PUT_OFF_PAUSE = 0.5  # after a report was put off; there may be many of them
LONGEST_WISH = 3600.0  # of a receiver's Retry-After
WITHHELD_DELAY = 30.0  # until a result is offered again that an answer left out
MAX_AGAIN = 10  # calls in a row that the receiver may ask for without a pause
AGAIN_PAUSE = 0.2
LONGEST_SLEEP = 30.0  # without a look at the store
GATHER_SECONDS = 0.05  # between calls, so that under load a call brings many results
FAILURE_PAUSE = 1.0  # after the store failed, or this code


class Reporter:
    """Calls one sink. ``wake`` and ``sync_now`` only set flags; they may be called at any time.

    ``test_mode``: nothing happens but upon ``sync_now``. ``spread`` gives the jitter, from 0 to 1.
    """

    def __init__(
        self,
        store: Store,
        sink: Loaded[Sink],
        guard: Guard,
        clock: Clock,
        metrics: MailMetrics,
        events: EventStream,
        *,
        test_mode: bool = False,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._loaded = sink
        self._sink = sink.extension
        self._guard = guard
        self._clock = clock
        self._metrics = metrics
        self._events = events
        self._test_mode = test_mode
        self._spread = spread
        self._sifter = Sifter(self._sink.max_batch)
        self._full = False  # the last list was as long as the sink takes
        self._woken = asyncio.Event()
        self._sync_wanted = False
        self._blocked_until = -inf  # steady, like all moments here
        self._poll_at = -inf
        self._failures = 0  # calls in a row
        self._again = 0  # calls in a row that ended in "again"
        self._taken: list[Report] = []  # acknowledged by the sink, not yet in the store

    @property
    def name(self) -> str:
        """The sink's name, under which the store keeps its acknowledgements."""
        return self._loaded.name

    def wake(self) -> None:
        """Results were committed."""
        self._woken.set()

    def sync_now(self) -> None:
        """Call the sink now, whatever it asked for earlier, and if it polls even with an empty list.

        During a call it leads to another one after it; several before a call are one.
        """
        self._sync_wanted = True
        self._woken.set()

    async def run(self) -> None:
        """Report until cancelled. A call that is cut short is repeated after the next start."""
        if not self._test_mode:
            self.sync_now()
        while True:
            await self._sleep()
            self._woken.clear()
            if self._test_mode and not self._sync_wanted:
                continue
            try:
                await self._run_paced()
            except StoreError as error:
                log.warning("reports to %s wait for the store: %s", self.name, error)
                await self._pause()
            except Exception:
                log.exception("reports to %s go on after an unexpected failure", self.name)
                await self._pause()

    async def run_once(self) -> int:
        """Call the sink as often as it is time to; how many results it acknowledged."""
        total = 0
        while (taken := await self._pass()) is not None:
            total += taken
        return total

    async def _run_paced(self) -> None:
        """Like ``run_once``, but while results keep coming in, let some gather for each call.

        The first call after a quiet time is made at once.
        """
        while await self._pass() is not None:
            if not self._full and not self._sync_wanted:
                await asyncio.sleep(GATHER_SECONDS)

    async def _pass(self) -> int | None:
        """At most one call; how many results it acknowledged, ``None``: it was not time for one."""
        await self._keep_acknowledgements()
        if not self._sync_wanted and self._clock.steady() < self._blocked_until:
            return None
        found = await self._store.unreported(self.name, self._sifter.wish)
        batch = self._sifter.choose(found)
        if self._sync_wanted:
            self._sync_wanted = False
            self._poll_at = -inf
        if not batch and self._clock.steady() < self._next_poll:
            return None
        self._full = len(batch) >= self._sink.max_batch
        return await self._call(batch)

    # --- time ---

    @property
    def _next_poll(self) -> float:
        return inf if self._sink.poll_seconds is None else self._poll_at

    async def _sleep(self) -> None:
        """Until woken or until it is time for a call or for a look at the store."""
        now = self._clock.steady()
        moment = self._blocked_until if self._blocked_until > now else self._next_poll
        seconds = min(max(moment - now, 0.0), LONGEST_SLEEP)
        try:
            async with asyncio.timeout(None if self._test_mode else seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _pause(self) -> None:
        self._woken.set()
        await asyncio.sleep(FAILURE_PAUSE)

    def _backoff(self) -> float:
        """Seconds until the next call: longer with each failure in a row, never twice the same."""
        delay = min(FIRST_BACKOFF * 2.0 ** min(self._failures - 1, 20), LONGEST_BACKOFF)
        return delay * (1 - 0.2 * self._spread())

    # --- calls ---

    async def _call(self, batch: Sequence[Report]) -> int:
        """One call; how many of these results it acknowledged."""
        if batch:
            failpoint("report.before")
        try:
            ack = await self._guard.call(
                self._loaded,
                partial(self._sink.deliver, batch),
                deadline=self._sink.timeout,
                expect=_checked,
            )
        except SinkUnavailable as error:
            return await self._not_taken(batch, error)
        except PluginError:  # logged and counted by the guard
            await self._failed(batch)
            return 0
        taken, left = self._read(ack, batch)
        if taken:
            failpoint("report.posted")
        if batch and not taken and not ack.retry:
            return await self._not_taken(batch, SinkUnavailable("it acknowledged none"))
        self._failures = 0
        self._sifter.passed(batch, taken)
        self._plan(ack)
        self._taken = taken
        await self._keep_acknowledgements()
        if left:
            await self._store.postpone(self.name, left, self._clock.steady() + WITHHELD_DELAY)
        return len(taken)

    async def _not_taken(self, batch: Sequence[Report], error: SinkUnavailable) -> int:
        """The sink's proper way to say no."""
        log.warning("%s did not take %d reports: %s", self._loaded, len(batch), error)
        self._metrics.plugin_error(self.name, self._loaded.kind)
        wish = min(error.retry_after or 0.0, LONGEST_WISH)
        await self._failed(batch, refused=isinstance(error, SinkRefused), wish=wish)
        return 0

    async def _failed(
        self, batch: Sequence[Report], *, refused: bool = False, wish: float = 0.0
    ) -> None:
        """Nothing is acknowledged: wait, offer a smaller list, or put a single report off."""
        consequence = self._sifter.failed(batch, refused=refused)
        now = self._clock.steady()
        if consequence.put_off is not None:
            log.error("report %r is put off: %s fails with it", batch[0].id, self._loaded)
            await self._store.postpone(self.name, batch, now + consequence.put_off)
            wish = max(wish, PUT_OFF_PAUSE)
        elif not (refused and consequence.narrowed):
            self._failures += 1
            wish = max(wish, self._backoff())
        self._blocked_until = now + wish

    async def _keep_acknowledgements(self) -> None:
        """Commit what the sink has taken. If the store fails, this comes first in the next pass."""
        if self._taken:
            await self._store.acknowledge(self.name, self._taken)
            failpoint("report.ack_committed")
            self._events.reported(self.name, self._taken)
            self._taken = []

    def _plan(self, ack: Ack) -> None:
        """When the next call without reports is due, and before when the sink wants none at all."""
        now = self._clock.steady()
        self._again = self._again + 1 if ack.again else 0
        if self._again > MAX_AGAIN:
            self._poll_at = now + AGAIN_PAUSE
        elif ack.again:
            self._poll_at = now
        else:
            self._poll_at = now + (self._sink.poll_seconds or 0.0)
        self._blocked_until = -inf
        if ack.not_before is not None:
            self._blocked_until = now + ack.not_before - self._clock.wall()

    def _read(self, ack: Ack, batch: Sequence[Report]) -> tuple[list[Report], list[Report]]:
        """The reports of this very call that are acknowledged, and those that are not."""
        sent = {report.id for report in batch}
        accepted = set(ack.accepted) if isinstance(ack.accepted, (set, frozenset)) else sent
        unknown = (accepted | ack.retry) - sent
        if unknown:
            log.warning("%s answered for %d ids it was not sent", self._loaded, len(unknown))
        accepted -= ack.retry
        taken = [report for report in batch if report.id in accepted]
        return taken, [report for report in batch if report.id not in accepted]


def _checked(answer: Any) -> Ack:
    """The answer itself, or an error that says what is wrong with it."""
    if not isinstance(answer, Ack):
        raise TypeError(f"deliver() should return an Ack, not {type(answer).__name__}")
    for ids in (answer.accepted, answer.retry):
        if ids is not ALL and not isinstance(ids, (set, frozenset)):
            raise TypeError("accepted and retry of an Ack should be sets of ids")
    if answer.not_before is not None and not isfinite(answer.not_before):
        raise ValueError("not_before of an Ack should be a finite number")
    return answer
