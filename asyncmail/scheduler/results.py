"""Results on their way to the store: collected, committed in groups, never dropped."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

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


class _Group:
    """Results on their way to the store; others may join until it takes them."""

    def __init__(self, *finished: Finished) -> None:
        self.finished = list(finished)
        self.handed = False
        self.taken = False

    def __iter__(self) -> Iterator[Result]:
        """The store takes them now: nobody joins any more."""
        self.taken = True
        return iter([f.result for f in self.finished if f.result is not None])


class Results:
    """Results wait with the store until it comes to them, and are committed together then.

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
        self._open = _Group()
        self._unowned: list[Finished] = []  # to be given back
        self._commits: set[asyncio.Task[None]] = set()
        self._drained = asyncio.Event()
        self._drained.set()
        self.handed: Counter[Lane] = Counter()

    def put(self, finished: Finished) -> None:
        """Have it recorded, or its claim given back."""
        self._drained.clear()
        if finished.result is None:
            self._unowned.append(finished)
            if len(self._unowned) == 1:
                self._start(self._give_back())
            return
        if self._open.taken:
            self._open = _Group()
        group = self._open
        group.finished.append(finished)
        if group.handed:
            self.handed[finished.claim.lane] += 1
            self._on_handed()
        elif len(group.finished) == 1:
            self._start(self._commit(group))

    async def drained(self) -> None:
        """Wait until everything that was put is committed."""
        await self._drained.wait()

    def stop(self) -> None:
        """Wait for the store no longer."""
        for task in self._commits:
            task.cancel()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="results")
        self._commits.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._commits.discard(task)
        if task.cancelled():
            return  # what it had is not committed
        if (error := task.exception()) is not None:
            log.critical("results were committed, and not understood", exc_info=error)
        if not self._commits:
            self._drained.set()

    async def _commit(self, group: _Group) -> None:
        self._on_recorded(await self._record(group))

    async def _record(self, group: _Group) -> list[tuple[Finished, bool]]:
        """Record a group, as often as it takes; what no store can take ends as an error of its own."""
        while True:
            try:
                held = await self._hand_over(group)
                failpoint("result.committed")
                return list(zip(group.finished, held, strict=True))
            except StoreUnavailable as error:
                log.warning("%d results wait to be recorded: %s", len(group.finished), error)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                finished = group.finished
                log.exception("a result of %d cannot be recorded as it is", len(finished))
                if len(finished) > 1:
                    return [one for f in finished for one in await self._record(_Group(f))]
                (only,) = finished
                if only.result is None or only.unrecordable:
                    return [(only, False)]  # taken up again at the next start
                result = plainest(only.result, int(only.claim.created_ts))
                group = _Group(replace(only, result=result, unrecordable=True))

    async def _hand_over(self, group: _Group) -> list[bool]:
        group.handed = True
        self.handed += Counter(f.claim.lane for f in group.finished)
        self._on_handed()
        try:
            return await self._store.record(group)
        finally:
            group.taken = True
            self.handed -= Counter(f.claim.lane for f in group.finished)

    async def _give_back(self) -> None:
        claims, self._unowned = self._unowned, []
        await self._release(claims)
        self._on_recorded([(finished, False) for finished in claims])

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
