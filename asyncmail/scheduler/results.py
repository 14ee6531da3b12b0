"""Results on their way to the store: collected, committed in groups, never dropped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from asyncmail.errors import StoreError
from asyncmail.model import Delivery
from asyncmail.outcome import Decision, Next
from asyncmail.store.base import AttemptRecord, Claim, Result, Store

log: Final = logging.getLogger("asyncmail.results")

RETRY_SECONDS = 0.25  # between tries to commit a group that the store could not take


@dataclass(frozen=True, slots=True)
class Finished:
    """A claim, what was decided about it, and what is to be recorded (``None``: give it back)."""

    claim: Claim
    decision: Decision | None
    result: Result | None
    delivery: Delivery | None = None


class Results:
    """One commit at a time; what arrives meanwhile shares the next one.

    ``on_recorded`` is called after a commit with everything in it and whether the claim still held.
    """

    def __init__(
        self, store: Store, on_recorded: Callable[[Sequence[tuple[Finished, bool]]], None]
    ) -> None:
        self._store = store
        self._on_recorded = on_recorded
        self._pending: list[Finished] = []
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()

    def put(self, finished: Finished) -> None:
        self._pending.append(finished)
        self._drained.clear()
        self._arrived.set()

    async def drained(self) -> None:
        """Wait until everything that was put is committed."""
        await self._drained.wait()

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            group, self._pending = self._pending, []
            await self._commit(group)
            if not self._pending:
                self._drained.set()

    async def _commit(self, group: Sequence[Finished]) -> None:
        to_record = [f for f in group if f.result is not None]
        to_release = [f.claim for f in group if f.result is None]
        while True:
            try:
                held = await self._store.record([f.result for f in to_record if f.result])
                if to_release:
                    await self._store.release(to_release)
                break
            except StoreError as error:
                log.warning("%d results wait to be recorded: %s", len(to_record), error)
                await asyncio.sleep(RETRY_SECONDS)
        outcomes = [(f, kept) for f, kept in zip(to_record, held, strict=True)]
        outcomes.extend((f, False) for f in group if f.result is None)
        self._on_recorded(outcomes)


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
