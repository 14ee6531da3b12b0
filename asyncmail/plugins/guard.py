"""The guard: deadlines, isolation and quarantine of everything that is asked of extensions.

Nothing in one process can contain an extension that blocks the event loop itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from asyncmail.clock import Clock
from asyncmail.plugins.circuit import MAX_FAILURES, Records
from asyncmail.plugins.failures import (
    ExtensionFailed,
    ExtensionQuarantined,
    ExtensionTimeout,
    describe,
)
from asyncmail.plugins.guarded import CANCEL_GRACE, GuardedTask
from asyncmail.plugins.interfaces import Extension
from asyncmail.plugins.kinds import Kind, Loaded
from asyncmail.plugins.trace import Trace, returned

__all__ = [
    "ATTACHMENT_DEADLINE",
    "CANCEL_GRACE",
    "FILTER_DEADLINE",
    "OBSERVER_DEADLINE",
    "RETENTION_DEADLINE",
    "TRANSPORT_DEADLINE",
    "VALIDATOR_DEADLINE",
    "ExtensionFailed",
    "ExtensionQuarantined",
    "ExtensionTimeout",
    "Guard",
    "GuardedTask",
]

T = TypeVar("T")
R = TypeVar("R")

VALIDATOR_DEADLINE = 1.0  # seconds, like all of these
FILTER_DEADLINE = 10.0
ATTACHMENT_DEADLINE = 60.0
RETENTION_DEADLINE = 60.0
OBSERVER_DEADLINE = 1.0
TRANSPORT_DEADLINE = 660.0  # without progress; it outlasts the longest command of SMTP, the dot
STALL_SECONDS = 4.0  # of a filter, with several calls under way and no answer at all

SCAN_SECONDS = 0.05
LATE_SECONDS = 0.25  # a scan this late means that the whole loop was held up


def _unchanged(text: str) -> str:
    return text


class Guard:
    """Runs work that calls extensions, and finds calls over their deadline by one periodic scan.

    ``on_failure(loaded, cause)`` is called for every failure and expiry, ``on_state(loaded, is_up)``
    when a quarantine begins or ends. ``mask`` takes secrets out of the words of plugins. ``trace``:
    log every call.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        on_failure: Callable[[Loaded[Extension], str], None],
        on_state: Callable[[Loaded[Extension], bool], None] | None = None,
        mask: Callable[[str], str] = _unchanged,
        trace: bool = False,
    ) -> None:
        self.clock = clock
        self.mask = mask
        self.records = Records(clock, on_failure, on_state)
        self.decisions = Records(clock, on_failure, on_state)
        self.trace = Trace(mask) if trace else None
        self._running: set[GuardedTask[Any]] = set()
        self._abandoned: dict[asyncio.Task[Any], Loaded[Extension] | None] = {}
        self._deciding: Loaded[Extension] | None = None
        self._scan_due: float | None = None
        self._held_judgement = False

    def start(self, work: Callable[[GuardedTask[T]], Coroutine[Any, Any, T]]) -> GuardedTask[T]:
        """Run ``work`` in one task; it calls as many extensions as it likes, one after the other."""
        guarded = GuardedTask(self, work)
        self._running.add(guarded)
        if self._scan_due is None:
            self._schedule(asyncio.get_running_loop())
        return guarded

    async def call(
        self,
        loaded: Loaded[Extension],
        make: Callable[[], Awaitable[Any]],
        *,
        deadline: float,
        expect: Callable[[Any], R] | None = None,
        recorded: bool = True,
    ) -> R:
        """A single call in a task of its own; arguments and errors as in ``GuardedTask.call``, and
        ``ExtensionTimeout``. If the caller is cancelled, so is the call."""
        task: GuardedTask[R] = self.start(
            lambda task: task.call(
                loaded, make, deadline=deadline, expect=expect, recorded=recorded
            )
        )
        return await task.result()

    def decide(
        self,
        loaded: Loaded[Extension],
        make: Callable[[], Any],
        *,
        expect: Callable[[Any], R] | None = None,
    ) -> R:
        """Ask for a plain decision, such as ``cutoff``; raises ``ExtensionFailed`` and
        ``ExtensionQuarantined``. Decisions and calls are quarantined apart: that one of them works
        says nothing of the other."""
        now = self.clock.steady()
        self.decisions.admit(loaded, now)
        self._deciding = loaded
        ending = ""
        try:
            answer = make()
            result: R = answer if expect is None else expect(answer)
            ending = returned(answer) if self.trace else ""
        except BaseException as error:
            cause = self.mask(describe(error))
            ending = f"failed: {cause}"
            self.decisions.failed(loaded, cause)
            raise ExtensionFailed(loaded, cause) from error
        finally:
            self._deciding = None
            if self.trace is not None:
                self.trace(loaded, make, self.clock.steady() - now, ending)
        self.decisions.answered(loaded)
        return result

    def is_quarantined(self, loaded: Loaded[Extension]) -> bool:
        return self.records.of(loaded).is_out or self.decisions.of(loaded).is_out

    # --- the event loop ---

    def running(self, task: asyncio.Task[Any] | None) -> Loaded[Extension] | None:
        """The extension that this task, the loop's current one, is calling; for other threads."""
        if self._deciding is not None:
            return self._deciding
        for guarded in tuple(self._running):
            if guarded.task is task:
                return guarded.loaded
        return None if task is None else self._abandoned.get(task)

    def blocked(self, loaded: Loaded[Extension], seconds: float) -> None:
        """An extension kept the whole service from working, whatever it answered then."""
        self.records.complain(loaded, f"it blocked the event loop for {seconds:.1f} s")

    @property
    def abandoned(self) -> int:
        """How many tasks ignored their cancellation and still run. They keep an event loop from
        closing, so a process that is to exit must not wait for them."""
        return len(self._abandoned)

    # --- deadlines ---

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scan_due = loop.time() + SCAN_SECONDS
        loop.call_at(self._scan_due, self._scan, loop, self._scan_due)

    def _scan(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._scan_due = None
        if self._running:
            self._schedule(loop)
        if loop.time() - due > LATE_SECONDS and not self._held_judgement:
            # Everybody was held up, so let those with an answer at hand give it first.
            self._held_judgement = True
            return
        self._held_judgement = False
        now = self.clock.steady()
        for guarded in [g for g in self._running if g.expires <= now]:
            guarded.expire()
        self._look_for_stalls(now)

    def _look_for_stalls(self, now: float) -> None:
        """A filter may take its time, but one that hangs must not hold every slot until its deadline."""
        waiting: Counter[Loaded[Extension]] = Counter()
        for guarded in self._running:
            loaded = guarded.loaded
            if loaded is not None and loaded.kind is Kind.FILTER:
                since = max(guarded.called_at, self.records.of(loaded).quiet_since(now))
                waiting[loaded] += now - since >= STALL_SECONDS
        for loaded, calls in waiting.items():
            if calls >= MAX_FAILURES:
                self.records.stalled(loaded, calls, STALL_SECONDS)

    def finished(self, guarded: GuardedTask[Any]) -> None:
        self._running.discard(guarded)

    def abandon(
        self, guarded: GuardedTask[Any], task: asyncio.Task[Any], loaded: Loaded[Extension] | None
    ) -> None:
        """Let go of a cancelled task; whether and when it ends no longer matters to anybody."""
        self._running.discard(guarded)
        self._abandoned[task] = loaded
        circuit = None if loaded is None else self.records.of(loaded)
        if circuit is not None:
            circuit.abandoned += 1

        def reap(task: asyncio.Task[Any]) -> None:
            self._abandoned.pop(task, None)
            if circuit is not None:
                circuit.abandoned -= 1

        task.add_done_callback(reap)
