"""The scheduler: sleeps until something is due or somebody wakes it, and keeps all loops together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncmail import outcome
from asyncmail.clock import Clock
from asyncmail.errors import StoreError
from asyncmail.failpoints import failpoint
from asyncmail.prometheus import MailMetrics
from asyncmail.scheduler.accounts import AccountDirectory
from asyncmail.scheduler.attempt import history_of, recipients_of
from asyncmail.scheduler.dispatch import Dispatcher
from asyncmail.scheduler.events import EventStream
from asyncmail.scheduler.lanes import ALL_PRIORITIES, Lanes
from asyncmail.scheduler.report import Reporter
from asyncmail.scheduler.sweep import Sweeper
from asyncmail.store.base import DueTimes, Lane, Store

log: Final = logging.getLogger("asyncmail.scheduler")

SWEEP_SECONDS = 60.0
SWEEP_END_SECONDS = 1.0  # for the batch at hand, when the service stops
STORE_RETRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class AccountState:
    """How an account is doing: ``ok``, ``limited`` (rate limit) or ``broken`` (breaker open)."""

    state: str
    last_error: str | None = None


class Scheduler:
    """Drives dispatch, reports and sweeps. ``test_mode``: only ``run_now`` makes anything happen."""

    def __init__(
        self,
        store: Store,
        dispatcher: Dispatcher,
        sweeper: Sweeper,
        reporters: Sequence[Reporter],
        accounts: AccountDirectory,
        lanes: Lanes,
        clock: Clock,
        metrics: MailMetrics,
        events: EventStream,
        *,
        test_mode: bool,
        longest_sleep: float,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._sweeper = sweeper
        self._reporters = reporters
        self._accounts = accounts
        self._lanes = lanes
        self._clock = clock
        self._metrics = metrics
        self._events = events
        dispatcher.on_committed = self.results_committed
        dispatcher.on_room = self._wake_up
        self._test_mode = test_mode
        self._longest_sleep = longest_sleep
        self._woken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._active = True
        self._due: DueTimes | None = None  # None: something may have become due earlier
        self._news = 0  # how often that was said
        self._look = not test_mode  # ask the store what is due, whatever the hints say
        self._next_look = clock.steady()
        self._sweep_wanted = asyncio.Event()
        self._switching = asyncio.Lock()  # suspend and activate one after the other
        self.draining = False

    # --- life ---

    async def start(self) -> None:
        """Take over what an earlier process left behind, and start the loops."""
        await self._accounts.load()
        for lane in self._accounts.lanes():
            self._lanes.state(lane).account = self._accounts.get(lane)
        self._count_accounts()
        self._events.start()
        self._set_active(await self._store.is_active())
        await self._rescue()
        self._spawn(self._dispatch_loop(), "dispatch")
        for reporter in self._reporters:
            self._spawn(reporter.run(), "report")
        if not self._test_mode:
            self._spawn(self._sweep_loop(), "sweep")

    async def stop(self, grace: float) -> None:
        """No new work, up to ``grace`` seconds for what is past the dot, everything recorded.

        A second call returns at once.
        """
        if self.draining:
            return
        self.draining = True
        self._dispatcher.may_begin = False
        await self._end_sweep()
        await self._dispatcher.drain(grace)
        self._dispatcher.results.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._events.stop()

    async def _end_sweep(self) -> None:
        """Let it finish its batch, so that it leaves no claim without a result."""
        self._sweeper.stopping = True
        self._sweep_wanted.set()
        sweeps = [task for task in self._tasks if task.get_name() == "sweep"]
        if sweeps:
            await asyncio.wait(sweeps, timeout=SWEEP_END_SECONDS)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))

    async def _rescue(self) -> None:
        rescued = await self._store.rescue()
        if rescued:
            log.warning("%d messages were in flight when the service last stopped", len(rescued))
        decisions = [
            outcome.decide_rescued(
                history_of(claim),
                recipients_of(claim),
                dot_may_have_left=claim.dot_may_have_left,
            )
            for claim in rescued
        ]
        await self._dispatcher.settle(zip(rescued, decisions, strict=True))

    # --- commands ---

    @property
    def active(self) -> bool:
        return self._active

    def wake(
        self, lanes: Iterable[Lane] = (), priorities: Collection[int] = ALL_PRIORITIES
    ) -> None:
        """Something may be ready in these lanes, or due at a time not known before."""
        self._lanes.hint(lanes, priorities)
        self._forget_due()
        if not self._test_mode:
            self._woken.set()

    def run_now(self) -> None:
        """Look at the store at once and sync every sink; calls that come close together are one."""
        self._look_again()
        if not self._test_mode:
            for reporter in self._reporters:
                reporter.sync_now()

    def results_committed(self) -> None:
        """Slots are free again and reports may be due; called after each commit of results."""
        self._forget_due()
        self._woken.set()
        if not self._test_mode:
            for reporter in self._reporters:
                reporter.wake()

    async def suspend(self) -> None:
        """Stop sending, durably; returns when nothing that has not begun is held any more."""
        async with self._switching:
            self._set_active(False)
            try:
                await self._store.set_active(False)
            except StoreError:
                self._go_on()  # nothing of a refused command is kept
                raise
            failpoint("suspend.committed")
            self._events.switched(active=False)
            await self._dispatcher.take_back()

    async def activate(self) -> None:
        """Go on sending, durably."""
        async with self._switching:
            await self._store.set_active(True)
            self._events.switched(active=True)
            self._go_on()

    async def account_changed(self, lane: Lane) -> None:
        """An account was put or deleted: use it as it is now, and give it a fresh chance."""
        account = await self._accounts.refresh(lane)
        state = self._lanes.state(lane)
        state.account = account
        if state.breaker.is_open and account is not None:
            self._events.account_recovered(lane)
        state.breaker.close()
        state.limited_until = None
        self._count_accounts()
        if account is None:
            self._lanes.forget(lane)
            self._sweep_wanted.set()
        else:
            self.wake([lane])

    def account_state(self, lane: Lane) -> AccountState:
        state = self._lanes.state(lane)
        if state.breaker.is_open:
            return AccountState("broken", state.breaker.last_error)
        limited = state.limited_until is not None and state.limited_until > self._clock.steady()
        return AccountState("limited" if limited else "ok")

    async def cleanup(self, older_than: float | None = None) -> int:
        """Delete what retention lets go now; how many messages went."""
        return await self._sweeper.retire(older_than)

    def _look_again(self) -> None:
        self._look = True
        self._forget_due()
        self._woken.set()

    def _wake_up(self) -> None:
        self._woken.set()

    def _forget_due(self) -> None:
        self._due = None
        self._news += 1

    async def _due_times(self) -> DueTimes:
        """When the store will next have something due, asked again only after there were news."""
        if self._due is not None:
            return self._due
        news = self._news
        due = await self._store.due_times()
        if news == self._news:
            self._due = due
        return due

    def _count_accounts(self) -> None:
        self._metrics.accounts_changed(lane.account_id for lane in self._accounts.lanes())

    def _go_on(self) -> None:
        """Sending is on: start what waited, in test mode with the next run-now."""
        self._set_active(True)
        if not self._test_mode:
            self._look_again()

    def _set_active(self, active: bool) -> None:
        self._active = active
        self._dispatcher.may_begin = active and not self.draining

    # --- dispatch ---

    async def run_once(self) -> int:
        """Attempt everything that is due now, once, and commit the results; how many attempts."""
        self._lanes.hint(await self._store.promote())
        self._lanes.hint(await self._store.ready_lanes())
        total = 0
        while True:
            started = await self._dispatcher.fill()
            total += started
            if not started:
                if not self._dispatcher.in_flight:
                    return total
                await self._dispatcher.idle()

    async def _dispatch_loop(self) -> None:
        while True:
            try:
                if self._test_mode:
                    await self._cycle_on_demand()
                else:
                    await self._cycle()
            except StoreError as error:
                log.warning("dispatch waits for the store: %s", error)
                await self._pause()
            except Exception:
                log.exception("dispatch goes on after an unexpected failure")
                await self._pause()

    async def _pause(self) -> None:
        """After a failure: what was asked for, a run-now among it, is still to be done."""
        await asyncio.sleep(STORE_RETRY_SECONDS)
        self._look_again()

    async def _cycle_on_demand(self) -> None:
        """Test mode: wait for run-now, run one full cycle, then sync each sink."""
        await self._woken.wait()
        self._woken.clear()
        if not self._look:
            return
        self._look = False
        await self.run_once()
        await self._sweeper.run_once()
        for reporter in self._reporters:
            reporter.sync_now()

    async def _cycle(self) -> None:
        """Start what may start now; if that is nothing, sleep until that can change."""
        self._woken.clear()
        now = self._clock.steady()
        if self._look or now >= self._next_look:
            self._look = False
            self._next_look = now + self._longest_sleep
            self._lanes.hint(await self._store.promote())
            self._lanes.hint(await self._store.ready_lanes())
        if not await self._dispatcher.fill():
            await self._sleep()

    async def _sleep(self) -> None:
        now = self._clock.steady()
        due = await self._due_times()
        moments = [self._next_look]
        if due.steady is not None:
            moments.append(due.steady)
        if due.wall is not None:
            moments.append(now + due.wall - self._clock.wall())
        if not self._store.health().ok:
            moments.append(now + STORE_RETRY_SECONDS)
        unblocked = self._lanes.next_unblocked(now)
        if unblocked is not None:
            moments.append(unblocked)
        try:
            async with asyncio.timeout(max(min(moments) - now, 0.0)):
                await self._woken.wait()
        except TimeoutError:
            self._look_again()

    # --- sweep ---

    async def _sweep_loop(self) -> None:
        while not self.draining:
            self._sweep_wanted.clear()
            try:
                await self._sweeper.run_once()
            except StoreError as error:
                log.warning("the sweep waits for the store: %s", error)
            except Exception:
                log.exception("the sweep goes on after an unexpected failure")
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._sweep_wanted.wait()
            except TimeoutError:
                continue
