"""What happens now and then: retention, messages grown too old, messages whose account is gone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from math import isnan
from typing import Final

from asyncmail import outcome
from asyncmail.clock import Clock
from asyncmail.model import Delivery, Disposition, RetiredMessage
from asyncmail.outcome import Decision, Policy
from asyncmail.plugins.guard import (
    RETENTION_DEADLINE,
    ExtensionFailed,
    ExtensionQuarantined,
    ExtensionTimeout,
    Guard,
)
from asyncmail.plugins.interfaces import Retention
from asyncmail.plugins.manager import Loaded
from asyncmail.scheduler.attempt import history_of, local, recipients_of
from asyncmail.scheduler.dispatch import Dispatcher
from asyncmail.scheduler.events import EventStream
from asyncmail.scheduler.lanes import Lanes
from asyncmail.store.base import Claim, Lane, Store

log: Final = logging.getLogger("asyncmail.sweep")

BATCH = 1000  # messages per transaction, so that nobody waits long for the writer


class Sweeper:
    """Each method works off all there is, in batches, and says how many messages it touched.

    ``stopping`` ends it between two batches, so that no claim is left without its result.
    """

    def __init__(
        self,
        store: Store,
        retention: Sequence[Loaded[Retention]],
        guard: Guard,
        clock: Clock,
        dispatcher: Dispatcher,
        lanes: Lanes,
        policy: Policy,
        events: EventStream,
    ) -> None:
        self._store = store
        self._retention = retention
        self._guard = guard
        self._clock = clock
        self._dispatcher = dispatcher
        self._lanes = lanes
        self._policy = policy
        self.stopping = False
        self._events = events

    async def run_once(self) -> int:
        """Everything this module does, once."""
        return await self.fail_orphans() + await self.fail_aged() + await self.retire()

    # --- retention ---

    async def retire(self, older_than: float | None = None) -> int:
        """Delete what every policy lets go; ``older_than`` (seconds) takes the place of the policies'
        windows, but not of a policy that keeps."""
        total = 0
        for lane in await self._store.lanes():
            before = self._cutoff(lane, older_than)
            if before is not None:
                total += await self._retire_lane(lane, before)
        return total

    def _cutoff(self, lane: Lane, older_than: float | None) -> float | None:
        """The earliest cutoff wins; without any the messages are kept."""
        now = self._clock.wall()
        cutoffs: list[float] = []
        for policy in self._retention:
            try:
                cutoff = self._guard.decide(
                    policy, partial(policy.extension.cutoff, now, lane.account_id), expect=_moment
                )
            except (ExtensionFailed, ExtensionQuarantined) as error:
                log.error("everything is kept: %s", error)
                return None
            if cutoff is not None:
                cutoffs.append(cutoff)
        earliest = min(cutoffs, default=None)
        if older_than is None or earliest == float("-inf"):
            return earliest
        return now - older_than

    async def _retire_lane(self, lane: Lane, before: float) -> int:
        removed, after_key = 0, 0
        while batch := await self._store.retirable(lane, before, limit=BATCH, after_key=after_key):
            after_key = batch[-1][0]
            released = await self._released([message for _, message in batch])
            keys = [key for key, message in batch if message.id in released]
            if keys:
                gone = set(await self._store.retire(keys, before))
                removed += len(gone)
                self._events.retired(message for key, message in batch if key in gone)
        return removed

    async def _released(self, messages: list[RetiredMessage]) -> set[str]:
        """The ids that every policy releases; a policy that fails keeps all."""
        released = {message.id for message in messages}
        for policy in self._retention:
            try:
                released &= await self._guard.call(
                    policy,
                    partial(policy.extension.release, messages),
                    deadline=RETENTION_DEADLINE,
                    expect=set,
                )
            except (ExtensionFailed, ExtensionTimeout, ExtensionQuarantined) as error:
                log.error("retention '%s' released nothing: %s", policy.name, error)
                return set()
        return released

    # --- messages that cannot go on ---

    async def fail_orphans(self) -> int:
        """Messages of a deleted account end in an error, so that their client learns it."""
        total = 0
        while not self.stopping and (claims := await self._store.claim_orphans(BATCH)):
            await self._dispatcher.settle(
                (claim, self._failed(claim, local(_pending(claim), "account deleted")))
                for claim in claims
            )
            total += len(claims)
        return total

    async def fail_aged(self) -> int:
        """Messages that could not be sent for too long end in an error that says why."""
        total = 0
        before = self._clock.steady() - self._policy.max_age
        while not self.stopping and (claims := await self._store.claim_aged(before, BATCH)):
            await self._dispatcher.settle((claim, self._aged(claim)) for claim in claims)
            total += len(claims)
        return total

    def _aged(self, claim: Claim) -> Decision:
        breaker = self._lanes.state(claim.lane).breaker
        text = breaker.last_error or "it waited in the queue"
        delivery = Delivery.of_all(_pending(claim), Disposition.TEMPORARY, text, charged=False)
        return self._failed(claim, delivery)

    def _failed(self, claim: Claim, delivery: Delivery) -> Decision:
        return outcome.decide(
            history_of(claim),
            recipients_of(claim),
            delivery,
            self._policy,
            now=self._clock.steady(),
        )


def _moment(answer: object) -> float | None:
    if answer is None or (isinstance(answer, int | float) and not isnan(answer)):
        return answer
    raise TypeError(f"a time was expected, not {answer!r}")


def _pending(claim: Claim) -> list[str]:
    return [r for r in recipients_of(claim) if r not in claim.settled]
