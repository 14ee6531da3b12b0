"""From claims to recorded results: starts what the plan allows and follows each until it is committed.

Every claimed message holds a slot until its result is committed, so results that cannot be recorded stop
new sends by themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from asyncmail import outcome
from asyncmail.clock import Clock
from asyncmail.failpoints import failpoint
from asyncmail.model import Delivery
from asyncmail.outcome import Decision, Next, clean
from asyncmail.plugins.guard import Guard
from asyncmail.prometheus import MailMetrics
from asyncmail.scheduler.accounts import AccountDirectory
from asyncmail.scheduler.attempt import Attempts, ClaimedAttempt, history_of, local, recipients_of
from asyncmail.scheduler.events import EventStream
from asyncmail.scheduler.lanes import ALL_PRIORITIES, Lanes
from asyncmail.scheduler.results import Finished, Results, result_of
from asyncmail.store.base import Claim, Claims, Lane, Pick, Store

log: Final = logging.getLogger("asyncmail.dispatch")
activity: Final = logging.getLogger("asyncmail.delivery")  # [logging] delivery_activity


CLAIM_BYTES = 16 * 1024 * 1024  # of payloads in one transaction: more is read in several
RECORD_SECONDS = 1.0  # for the last results, beyond the grace


def _described(decision: Decision) -> str:
    return f"{decision.next} ({decision.error})" if decision.error else decision.next.value


def _is_partial(pick: Pick) -> bool:
    return len(pick.priorities) < len(ALL_PRIORITIES)


def _nobody() -> None:
    """Nobody waits for commits yet."""


class _Plan:
    """The picks of a claim, made when the store asks for them: until then, slots become free."""

    def __init__(self, lanes: Lanes, clock: Clock, results: Results) -> None:
        self._lanes = lanes
        self._clock = clock
        self._results = results
        self.picks: Sequence[Pick] = ()
        self.hints: dict[Lane, int] = {}

    def __iter__(self) -> Iterator[Pick]:
        self.picks = self._lanes.plan(self._clock.steady(), self._results.handed)
        self.hints = {pick.lane: self._lanes.state(pick.lane).hints for pick in self.picks}
        return iter(self.picks)


class Dispatcher:
    """Claims, starts and finishes. It has no loop of its own: the scheduler calls ``fill``.

    ``on_committed`` is called after each commit of results, ``on_room`` when slots are as good as free.
    """

    def __init__(
        self,
        store: Store,
        attempts: Attempts,
        accounts: AccountDirectory,
        lanes: Lanes,
        guard: Guard,
        clock: Clock,
        metrics: MailMetrics,
        events: EventStream,
        *,
        max_inflight_bytes: int,
        report_deferrals: bool,
    ) -> None:
        self._store = store
        self._attempts = attempts
        self._accounts = accounts
        self._lanes = lanes
        self._guard = guard
        self._clock = clock
        self._metrics = metrics
        self._events = events
        self._max_inflight_bytes = max_inflight_bytes
        self._report_deferrals = report_deferrals
        self.on_committed: Callable[[], None] = _nobody
        self.on_room: Callable[[], None] = _nobody
        self._inflight_bytes = 0
        self._filling = asyncio.Lock()
        self._running: dict[int, ClaimedAttempt] = {}
        self.results = Results(store, self._recorded, self._handed)
        self.may_begin = True
        self.may_finish = True

    @property
    def in_flight(self) -> int:
        return self._lanes.in_flight

    # --- start ---

    async def fill(self) -> int:
        """Claim what the free slots allow and start it; how many messages that were."""
        async with self._filling:
            started = None
            while started is None:
                started = await self._fill()
            return started

    async def _fill(self) -> int | None:
        """``None``: a turn of some priorities found none of them, so it is the others' at once."""
        room = self._max_inflight_bytes - self._inflight_bytes
        if not self.may_begin or room <= 0 or not self._store.health().ok:
            return 0
        if not self._lanes.may_start(self._clock.steady(), self.results.handed):
            return 0
        plan = _Plan(self._lanes, self._clock, self.results)
        found = await self._store.claim(plan, max_bytes=min(room, CLAIM_BYTES))
        failpoint("claim.committed")
        self._learn_from_claim(plan.picks, found, plan.hints)
        if not found.claims and not found.cut_short and any(map(_is_partial, plan.picks)):
            return None
        waiting: set[Lane] = set()
        for claim in found.claims:
            self._hold_slot(claim)
            if not self.may_begin or claim.lane in waiting:
                self.results.put(Finished(claim, None, None))
            elif not claim.over_limit:
                self._start(claim)
            elif self._put_off(claim):
                waiting.add(claim.lane)
        return len(found.claims) if self.may_begin else 0

    async def settle(self, decisions: Iterable[tuple[Claim, Decision]]) -> None:
        """Record decisions about claims that this process never attempted."""
        for claim, decision in decisions:
            self._hold_slot(claim)
            self._finish(claim, decision, unit_used=decision.was_uncertain)
        await self.results.drained()

    def _learn_from_claim(
        self, picks: Sequence[Pick], found: Claims, hints: dict[Lane, int]
    ) -> None:
        """What is known of a lane is worth nothing if it got a new hint while the claim was made."""
        for lane, seen in hints.items():
            state = self._lanes.state(lane)
            if state.hints == seen:
                state.claimed(
                    [pick for pick in picks if pick.lane == lane],
                    {claim.priority for claim in found.claims if claim.lane == lane},
                    exhausted=lane in found.exhausted,
                    cut_short=found.cut_short,
                )

    def _start(self, claim: Claim) -> None:
        account = self._accounts.get(claim.lane)
        self._metrics.queue_wait(claim.priority, self._clock.steady() - claim.ready_ts)
        attempt = ClaimedAttempt(claim, self._store, self._clock, self, self._clock.wall())
        task = self._guard.start(lambda task: self._attempts.run(task, account, attempt))
        attempt.task = task
        self._running[claim.key] = attempt
        task.future.add_done_callback(partial(self._ended, attempt))

    def _put_off(self, claim: Claim) -> bool:
        """No unit of the rate limit was left; whether the lane has to wait now.

        Then this message is deferred until the next unit, and those behind it are given back, so
        that nobody is overtaken.
        """
        account = self._accounts.get(claim.lane)
        error_over = account is not None and account.limits.error_over
        if self._attempts.is_expired(claim):
            recipients = recipients_of(claim)
            pending = [r for r in recipients if r not in claim.settled]
            decision = self._attempts.decide_local(claim, recipients, local(pending, "expired"))
            self._finish(claim, decision)
            return False
        now = self._clock.steady()
        until = now if claim.limited_until is None else max(claim.limited_until, now)
        if not error_over:
            self._lanes.state(claim.lane).limited_until = until
        self._metrics.rate_limited(claim.lane.account_id)
        decision = outcome.decide_over_limit(
            history_of(claim), recipients_of(claim), wait=until - now, error_over=error_over
        )
        self._finish(claim, decision)
        return not error_over

    # --- finish ---

    def _ended(self, attempt: ClaimedAttempt, future: asyncio.Future[Decision]) -> None:
        """Called by the event loop when an attempt is over, in whatever way."""
        claim = attempt.claim
        del self._running[claim.key]
        try:
            self._conclude(claim, attempt, future)
        except Exception:
            # Whatever that was, the message is not lost, and not sent again without a word.
            log.exception("message '%s': its end could not be understood", claim.id)
            attempt.over = True
            decision = outcome.decide_rescued(
                history_of(claim), recipients_of(claim), dot_may_have_left=attempt.dot_begun
            )
            self._finish(claim, decision, unit_used=attempt.begun_at is not None)

    def _conclude(
        self,
        claim: Claim,
        attempt: ClaimedAttempt,
        future: asyncio.Future[Decision],
    ) -> None:
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if error is None and attempt.taken_back:
            error = asyncio.CancelledError()  # whatever the transport makes of it
        decision = self._attempts.decide_failure(attempt, error) if error else future.result()
        attempt.over = True
        if decision is None:
            self.results.put(Finished(claim, None, None))
            return
        delivery = attempt.delivery
        if delivery is not None:
            self._learn(attempt, delivery, decision)
        self._finish(
            claim,
            decision,
            started_ts=attempt.started_ts,
            delivery=delivery,
            unit_used=attempt.dot_begun or bool(delivery and delivery.transaction_begun),
        )

    def _finish(
        self,
        claim: Claim,
        decision: Decision,
        *,
        started_ts: float | None = None,
        delivery: Delivery | None = None,
        unit_used: bool = False,
    ) -> None:
        result = result_of(
            claim,
            decision,
            wall=self._clock.wall(),
            steady=self._clock.steady(),
            started_ts=started_ts,
            delivery=delivery,
            unit_used=unit_used,
            report_deferrals=self._report_deferrals,
        )
        self.results.put(Finished(claim, decision, result, delivery))

    def _learn(self, attempt: ClaimedAttempt, delivery: Delivery, decision: Decision) -> None:
        """What this attempt says about its account."""
        claim, now = attempt.claim, self._clock.steady()
        state = self._lanes.state(claim.lane)
        seconds = now - attempt.begun_at if attempt.begun_at is not None else 0.0
        if delivery.account_problem:
            problem = decision.error or "account problem"
            if not state.breaker.is_open:
                self._events.account_broken(claim.lane, problem)
            state.breaker.fail(now, problem, delivery.retry_after)
        elif delivery.transaction_begun:
            if state.breaker.is_open:
                self._events.account_recovered(claim.lane)
            state.breaker.close()
            state.observe(seconds, now)
        self._metrics.delivery(claim.lane.account_id, delivery, seconds)

    def _handed(self) -> None:
        self.on_room()

    def _recorded(self, group: Sequence[tuple[Finished, bool]]) -> None:
        """After a commit: slots are free again, and the counters say what happened."""
        now = self._clock.steady()
        for finished, held in group:
            claim, decision = finished.claim, finished.decision
            self._lanes.ended(claim.lane, now)
            self._inflight_bytes -= claim.size
            if decision is None or decision.next is Next.AGAIN:
                self._lanes.hint([claim.lane], (claim.priority,))
            if decision is not None and held:
                self._count(claim, decision)
        self._events.recorded(group)
        self.on_committed()

    def _count(self, claim: Claim, decision: Decision) -> None:
        account_id = claim.lane.account_id
        if activity.isEnabledFor(logging.INFO):
            activity.info("message '%s': %s", clean(claim.id), _described(decision))
        if decision.was_uncertain:
            self._metrics.uncertain(account_id)
        match decision.next:
            case Next.SENT:
                self._metrics.sent(account_id)
            case Next.ERROR:
                self._metrics.error(account_id)
            case Next.RETRY:
                self._metrics.deferred(account_id)
            case Next.AGAIN:
                if decision.error:
                    self._metrics.deferred(account_id)

    def _hold_slot(self, claim: Claim) -> None:
        self._lanes.started(claim.lane, self._clock.steady())
        self._inflight_bytes += claim.size

    # --- stop ---

    async def take_back(self) -> None:
        """Release every claim whose envelope has not begun; the others go on."""
        async with self._filling:  # a claim under way sees may_begin and gives itself back
            unbegun = [r for r in self._running.values() if r.begun_at is None]
            await self._cancel(unbegun)
            await self.results.drained()

    async def drain(self, grace: float) -> None:
        """Before the dot: release. After it: wait up to ``grace`` seconds, then record as uncertain.

        What the store does not take in that time is taken up again, and explained, at the next start.
        """
        self.may_begin = self.may_finish = False
        try:
            async with asyncio.timeout(grace + RECORD_SECONDS):
                async with self._filling:
                    await self._cancel([r for r in self._running.values() if not r.dot_begun])
                failpoint("drain.mid")
                futures = [r.task.future for r in self._running.values()]
                if futures:
                    await asyncio.wait(futures, timeout=grace)
                await self._cancel(list(self._running.values()))
                await self.results.drained()
        except TimeoutError:
            log.error("%d messages in flight could not be recorded", self.in_flight)

    async def idle(self) -> None:
        """Wait until nothing is under way and every result is committed."""
        while self._running:
            await asyncio.wait([r.task.future for r in self._running.values()])
        await self.results.drained()

    async def _cancel(self, running: Collection[ClaimedAttempt]) -> None:
        for one in running:
            one.revoked = True
            one.task.cancel()
        if running:
            await asyncio.wait([one.task.future for one in running])
