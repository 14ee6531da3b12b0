"""The only place where extensions are awaited: deadlines, isolation, quarantine.

Nothing in one process can contain an extension that blocks the event loop itself.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from math import inf
from typing import Any, Final, Generic, TypeVar

from asyncmail.clock import Clock
from asyncmail.errors import AttachmentError, AttemptRevoked, Rejected, SinkUnavailable
from asyncmail.plugins.circuit import Records
from asyncmail.plugins.failures import (
    ExtensionFailed,
    ExtensionQuarantined,
    ExtensionTimeout,
    describe,
)
from asyncmail.plugins.interfaces import Extension
from asyncmail.plugins.kinds import Kind, Loaded

__all__ = [
    "ATTACHMENT_DEADLINE",
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

log: Final = logging.getLogger("asyncmail.guard")

T = TypeVar("T")
R = TypeVar("R")

VALIDATOR_DEADLINE = 1.0  # seconds, like all of these
FILTER_DEADLINE = 10.0
ATTACHMENT_DEADLINE = 60.0
RETENTION_DEADLINE = 60.0
OBSERVER_DEADLINE = 1.0
TRANSPORT_DEADLINE = 660.0  # without progress; it outlasts the longest command of SMTP, the dot
CANCEL_GRACE = 1.0  # for a cancelled call to end by itself

SCAN_SECONDS = 0.05
LATE_SECONDS = 0.25  # a scan this late means that the whole loop was held up

# Exceptions that are an extension's proper answer, not a failure of it.
ANSWERS: Final[Mapping[Kind, tuple[type[Exception], ...]]] = {
    Kind.VALIDATOR: (Rejected,),
    Kind.TRANSPORT: (AttemptRevoked,),
    Kind.SINK: (SinkUnavailable,),
    Kind.RETENTION: (),
    Kind.FILTER: (),
    Kind.ATTACHMENT: (AttachmentError,),
    Kind.OBSERVER: (),
}


def _unchanged(text: str) -> str:
    return text


class Guard:
    """Runs work that calls extensions, and finds calls over their deadline by one periodic scan.

    ``on_failure(loaded, cause)`` is called for every failure and expiry, ``on_state(loaded, is_up)``
    when a quarantine begins or ends. ``mask`` takes secrets out of the words of plugins.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        on_failure: Callable[[Loaded[Extension], str], None],
        on_state: Callable[[Loaded[Extension], bool], None] | None = None,
        mask: Callable[[str], str] = _unchanged,
    ) -> None:
        self.clock = clock
        self.mask = mask
        self.records = Records(clock, on_failure, on_state)
        self._running: set[GuardedTask[Any]] = set()
        self._abandoned: set[asyncio.Task[Any]] = set()
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
        return await task.future

    def decide(
        self,
        loaded: Loaded[Extension],
        make: Callable[[], Any],
        *,
        expect: Callable[[Any], R] | None = None,
    ) -> R:
        """Ask for a plain decision, such as ``cutoff``; raises ``ExtensionFailed``."""
        try:
            answer = make()
            result: R = answer if expect is None else expect(answer)
        except BaseException as error:
            cause = self.mask(describe(error))
            self.records.failed(loaded, cause)
            raise ExtensionFailed(loaded, cause) from error
        return result

    def is_quarantined(self, loaded: Loaded[Extension]) -> bool:
        return self.records.of(loaded).open_until is not None

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

    def finished(self, guarded: GuardedTask[Any]) -> None:
        self._running.discard(guarded)

    def abandon(
        self, guarded: GuardedTask[Any], task: asyncio.Task[Any], loaded: Loaded[Extension] | None
    ) -> None:
        """Let go of a cancelled task; whether and when it ends no longer matters to anybody."""
        self._running.discard(guarded)
        self._abandoned.add(task)
        circuit = None if loaded is None else self.records.of(loaded)
        if circuit is not None:
            circuit.abandoned += 1

        def reap(task: asyncio.Task[Any]) -> None:
            self._abandoned.discard(task)
            if circuit is not None:
                circuit.abandoned -= 1

        task.add_done_callback(reap)


class GuardedTask(Generic[T]):
    """One asyncio task that calls extensions.

    ``future`` is what the owner waits for. It is set when the work ends, or with ``ExtensionTimeout``
    as soon as a call is over its deadline, whether or not the task ends. Cancelling it cancels the task.
    """

    def __init__(
        self, guard: Guard, work: Callable[[GuardedTask[T]], Coroutine[Any, Any, T]]
    ) -> None:
        loop = asyncio.get_running_loop()
        self._guard = guard
        self._loaded: Loaded[Extension] | None = None
        self._recorded = True
        self._seconds = 0.0
        self._cancelled = False
        self._given_up = False
        self.expires = inf
        self.future: asyncio.Future[T] = loop.create_future()
        self._task = loop.create_task(work(self))
        self._task.add_done_callback(self._ended)
        self.future.add_done_callback(self._let_go)

    async def call(
        self,
        loaded: Loaded[Extension],
        make: Callable[[], Awaitable[Any]],
        *,
        deadline: float,
        expect: Callable[[Any], R] | None = None,
        recorded: bool = True,
    ) -> R:
        """Await what ``make()`` returns, at most ``deadline`` seconds; only inside the work.

        ``expect`` turns the answer into what the caller wants, or raises if it is nonsense.
        ``recorded=False``: call it even in quarantine, and do not count how it ends.

        Raises ``ExtensionFailed`` for whatever the extension raises, but for its kind's proper answers
        (such as ``Rejected``), which come through; ``ExtensionQuarantined`` if it is not to be called.
        """
        if self._cancelled or self._given_up:
            raise asyncio.CancelledError
        records = self._guard.records
        now = self._guard.clock.steady()
        if recorded:
            records.admit(loaded, now)
        self._loaded, self._recorded, self._seconds = loaded, recorded, deadline
        self.expires = now + deadline
        answer: Any = None
        try:
            answer = await make()
            result: R = answer if expect is None else expect(answer)
        except BaseException as error:
            if inspect.iscoroutine(answer):
                answer.close()
            await self._raise_instead(loaded, error)
            raise
        finally:
            self._loaded = None
            if not self._cancelled:
                self.expires = inf
        if self._given_up:
            raise asyncio.CancelledError
        if self._task.cancelling():
            await self._absorb()
        if recorded:
            records.answered(loaded)
        return result

    async def _raise_instead(self, loaded: Loaded[Extension], error: BaseException) -> None:
        """Raise what the work is to see in place of ``error``; returns if that is the error itself."""
        guard, recorded = self._guard, self._recorded
        if isinstance(error, GeneratorExit) and not self._task.get_loop().is_running():
            return  # the interpreter is clearing up, nobody's fault
        if isinstance(error, ANSWERS[loaded.kind]) and not self._given_up:
            _mask(error, guard.mask)
            if recorded:
                guard.records.answered(loaded)
            return
        if self._cancelled or self._given_up:
            guard.records.of(loaded).withdraw()
            raise asyncio.CancelledError from error
        if self._task.cancelling():
            await self._absorb()
        cause = guard.mask(describe(error))
        log.debug("%s failed", loaded, exc_info=error)
        if recorded:
            guard.records.failed(loaded, cause)
        raise ExtensionFailed(loaded, cause) from error

    async def _absorb(self) -> None:
        """Undo the cancellation that an extension requested of its own task."""
        if self._cancelled or self._given_up:
            return
        while self._task.cancelling():
            self._task.uncancel()
        try:
            # Before Python 3.13 a request that is not yet delivered survives uncancel().
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if self._cancelled or self._given_up:
                raise

    def progress(self) -> None:
        """The running call is getting on: its deadline starts anew."""
        if self._loaded is not None and not self._cancelled:
            self.expires = self._guard.clock.steady() + self._seconds

    def cancel(self) -> None:
        """Ask the work to end. ``future`` is set when it has, or in a second if it does not listen."""
        if not self._cancelled and not self._given_up and not self._task.done():
            self._cancelled = True
            self.expires = self._guard.clock.steady() + CANCEL_GRACE
            self._task.cancel()

    def expire(self) -> None:
        """For the guard's scan, once ``expires`` has passed: give the task up."""
        if self._task.done():
            return
        self._given_up = True
        loaded = self._loaded
        if loaded is not None and self._cancelled:
            self._guard.records.of(loaded).withdraw()
        elif loaded is not None:
            if self._recorded:
                cause = f"no answer within {self._seconds:g} s"
                self._guard.records.failed(loaded, cause, expired=True)
            if not self.future.done():
                self.future.set_exception(ExtensionTimeout(loaded, self._seconds))
        self.future.cancel()
        self._task.cancel()
        self._guard.abandon(self, self._task, loaded)

    def _ended(self, task: asyncio.Task[T]) -> None:
        self._guard.finished(self)
        error = None if task.cancelled() else task.exception()
        if self.future.done():
            return
        if task.cancelled():
            self.future.cancel()
        elif error is None:
            self.future.set_result(task.result())
        else:
            self.future.set_exception(error)

    def _let_go(self, future: asyncio.Future[T]) -> None:
        if future.cancelled():
            self.cancel()


def _mask(error: BaseException, mask: Callable[[str], str]) -> None:
    """Take secrets out of an answer that goes on to clients and reports."""
    error.args = tuple(mask(arg) if isinstance(arg, str) else arg for arg in error.args)
    if isinstance(error, Rejected):
        error.reason = mask(error.reason)
