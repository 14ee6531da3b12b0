"""Results on their way to the store: collected, committed in groups, never dropped."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from asyncmail.errors import StoreUnavailable
from asyncmail.failpoints import failpoint
from asyncmail.model import Delivery
from asyncmail.outcome import Decision, Next
from asyncmail.store.base import AttemptRecord, Claim, Lane, Result, Store

log: Final = logging.getLogger("asyncmail.results")

RETRY_SECONDS = 0.25  # between tries to commit a group that the store could not take


@dataclass(slots=True)
class Finished:
    """A claim, what was decided about it, and what is to be recorded (``None``: give it back)."""

    claim: Claim
    decision: Decision | None
    result: Result | None
    delivery: Delivery | None = None
    unrecordable: bool = (
        False  # this is what takes the place of a result that could not be recorded
    )


def plainest(result: Result, ts: int) -> Result:
    """The end of a message whose result the store refuses for what is in it."""
    if result.sent_ts is not None:
        return replace(result, attempt=None, settled={})
    words = "unexpected failure: the result could not be recorded"
    return replace(result, error=words, error_ts=ts, due=None, attempt=None, settled={})


class Results:
    """What finishes in one turn of the event loop is handed to the store together, and the store
    commits together what it was handed.

    ``on_recorded`` is called after a commit with everything in it and whether the claim still held,
    ``on_handed`` before it.
    ``handed``: how many results of each lane are with the store. It records them before it claims
    anything that is asked of it later, or fails the claim, so their slots are as good as free.
    """

    def __init__(
        self,
        store: Store,
        on_recorded: Callable[[Sequence[tuple[Finished, bool]]], None],
        on_handed: Callable[[], None],
    ) -> None:
        self._store = store
        self._on_recorded = on_recorded
        self._on_handed = on_handed
        self._pending: list[Finished] = []
        self._commits: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self.handed: Counter[Lane] = Counter()

    def put(self, finished: Finished) -> None:
        self._pending.append(finished)
        self._drained.clear()
        self._arrived.set()

    async def drained(self) -> None:
        """Wait until everything that was put is committed."""
        await self._drained.wait()

    async def run(self) -> None:
        """Hand over until cancelled."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                group, self._pending = self._pending, []
                task = asyncio.create_task(self._commit(group), name="results")
                self._commits.add(task)
                task.add_done_callback(self._committed)
        finally:
            for task in self._commits:
                task.cancel()

    def _committed(self, task: asyncio.Task[None]) -> None:
        self._commits.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("results were committed, and not understood", exc_info=error)
        if not self._commits and not self._pending:
            self._drained.set()

    async def _commit(self, group: Sequence[Finished]) -> None:
        to_record = [f for f in group if f.result is not None]
        to_release = [f for f in group if f.result is None]
        recorded = await self._record(to_record) if to_record else []
        if to_release:
            await self._release(to_release)
        self._on_recorded([*recorded, *((f, False) for f in to_release)])

    async def _record(self, group: Sequence[Finished]) -> list[tuple[Finished, bool]]:
        """Record a group, as often as it takes; what no store can take ends as an error of its own."""
        results = [f.result for f in group if f.result is not None]
        while True:
            try:
                held = await self._hand_over(results)
                failpoint("result.committed")
                return list(zip(group, held, strict=True))
            except StoreUnavailable as error:
                log.warning("%d results wait to be recorded: %s", len(group), error)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                log.exception("a result of %d cannot be recorded as it is", len(group))
                if len(group) > 1:
                    return [one for f in group for one in await self._record([f])]
                (only,) = group
                if only.result is None or only.unrecordable:
                    return [(only, False)]  # taken up again at the next start
                result = plainest(only.result, int(only.claim.ready_ts))
                return await self._record([replace(only, result=result, unrecordable=True)])

    async def _hand_over(self, results: Sequence[Result]) -> list[bool]:
        lanes = Counter(result.lane for result in results)
        self.handed += lanes
        self._on_handed()
        try:
            return await self._store.record(results)
        finally:
            self.handed -= lanes

    async def _release(self, group: Sequence[Finished]) -> None:
        while True:
            try:
                return await self._store.release([f.claim for f in group])
            except StoreUnavailable as error:
                log.warning("%d claims wait to be given back: %s", len(group), error)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                log.exception("%d claims are given back at the next start", len(group))
                return None


def result_of(
    claim: Claim,
    decision: Decision,
    *,
    wall: float,
    steady: float,
    started_ts: float | None = None,
    unit_used: bool = False,
    delivery: Delivery | None = None,
    report_deferrals: bool = False,
) -> Result:
    """What is recorded of a decision."""
    now = int(wall)
    error = decision.error
    retry = decision.next is Next.RETRY
    return Result(
        key=claim.key,
        token=claim.token,
        lane=claim.lane,
        sent_ts=now if decision.next is Next.SENT else None,
        error_ts=now if decision.next is Next.ERROR else None,
        error=error,
        due=steady + decision.delay if retry else None,
        deferred_ts=int(wall + decision.delay) if retry else None,
        attempts=decision.attempts,
        uncertain=decision.uncertain,
        rescues=decision.rescues,
        unexpected=decision.unexpected,
        settled=decision.settled,
        unit_used=unit_used,
        report=report_deferrals and retry,
        attempt=AttemptRecord(
            started_ts=wall if started_ts is None else started_ts,
            ended_ts=wall,
            outcome=decision.next.value,
            uncertain=decision.was_uncertain,
            error=error,
            recipients=delivery.outcomes if delivery else (),
        ),
    )
