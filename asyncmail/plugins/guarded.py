"""One task that calls extensions, the only place where they are awaited; every ending has its meaning."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from asyncmail.errors import AttachmentError, AttemptRevoked, Rejected, SinkUnavailable
from asyncmail.plugins.failures import ExtensionFailed, ExtensionTimeout, describe
from asyncmail.plugins.interfaces import Extension
from asyncmail.plugins.kinds import Kind, Loaded
from asyncmail.plugins.trace import returned

if TYPE_CHECKING:
    from asyncmail.plugins.guard import Guard

log: Final = logging.getLogger("asyncmail.guard")

T = TypeVar("T")
R = TypeVar("R")

CANCEL_GRACE = 1.0  # seconds for a cancelled call to end by itself

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


def _nothing() -> None:
    """Nothing is called yet."""


class GuardedTask(Generic[T]):
    """One asyncio task that calls extensions.

    ``future`` is set when the work ends, or with ``ExtensionTimeout`` as soon as a call is over its
    deadline, whether or not the task ends. Its owner waits for ``result()``, or is called back.
    """

    def __init__(
        self, guard: Guard, work: Callable[[GuardedTask[T]], Coroutine[Any, Any, T]]
    ) -> None:
        loop = asyncio.get_running_loop()
        self._guard = guard
        self.loaded: Loaded[Extension] | None = None  # whose call is under way
        self.called_at = 0.0  # steady
        self._make: Callable[[], Any] = _nothing
        self._recorded = True
        self._seconds = 0.0
        self._cancelled = False
        self._given_up = False
        self.expires = inf
        self.future: asyncio.Future[T] = loop.create_future()
        self.task = loop.create_task(work(self))
        self.task.add_done_callback(self._ended)

    async def result(self) -> T:
        """Wait for the end of the work; who is cancelled meanwhile cancels it."""
        try:
            return await self.future
        except asyncio.CancelledError:
            self.cancel()
            raise

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
        self.loaded, self._recorded, self._seconds = loaded, recorded, deadline
        self.called_at, self._make = now, make
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
            self.loaded = None
            if not self._cancelled:
                self.expires = inf
        if self._given_up:
            raise asyncio.CancelledError
        if self.task.cancelling():
            await self._absorb()
        if recorded:
            records.answered(loaded)
        if self._guard.trace is not None:
            self._trace(loaded, returned(answer))
        return result

    async def _raise_instead(self, loaded: Loaded[Extension], error: BaseException) -> None:
        """Raise what the work is to see in place of ``error``; returns if that is the error itself."""
        guard, recorded = self._guard, self._recorded
        if isinstance(error, GeneratorExit) and not self.task.get_loop().is_running():
            return  # the interpreter is clearing up, nobody's fault
        if isinstance(error, ANSWERS[loaded.kind]) and not self._given_up:
            _mask(error, guard.mask)
            if recorded:
                guard.records.answered(loaded)
            self._trace(loaded, f"raised {describe(error)}")
            return
        if self._cancelled or self._given_up:
            guard.records.of(loaded).withdraw()
            if not self._given_up:
                self._trace(loaded, "cancelled")
            raise asyncio.CancelledError from error
        if self.task.cancelling():
            await self._absorb()
        cause = guard.mask(describe(error))
        log.debug("%s failed", loaded, exc_info=error)
        self._trace(loaded, f"failed: {cause}")
        if recorded:
            guard.records.failed(loaded, cause)
        raise ExtensionFailed(loaded, cause) from error

    def _trace(self, loaded: Loaded[Extension], ending: str) -> None:
        guard = self._guard
        if guard.trace is not None:
            guard.trace(loaded, self._make, guard.clock.steady() - self.called_at, ending)

    async def _absorb(self) -> None:
        """Undo the cancellation that an extension requested of its own task."""
        if self._cancelled or self._given_up:
            return
        while self.task.cancelling():
            self.task.uncancel()
        try:
            # Before Python 3.13 a request that is not yet delivered survives uncancel().
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if self._cancelled or self._given_up:
                raise

    def progress(self) -> None:
        """The running call is getting on: its deadline starts anew."""
        if self.loaded is not None and not self._cancelled:
            self.expires = self._guard.clock.steady() + self._seconds

    def cancel(self) -> None:
        """Ask the work to end. ``future`` is set when it has, or in a second if it does not listen."""
        if not self._cancelled and not self._given_up and not self.task.done():
            self._cancelled = True
            self.expires = self._guard.clock.steady() + CANCEL_GRACE
            self.task.cancel()

    def expire(self) -> None:
        """For the guard's scan, once ``expires`` has passed: give the task up."""
        if self.task.done():
            return
        self._given_up = True
        loaded = self.loaded
        if loaded is not None and self._cancelled:
            self._guard.records.of(loaded).withdraw()
            self._trace(loaded, "cancelled, and does not listen")
        elif loaded is not None:
            if self._recorded:
                cause = f"no answer within {self._seconds:g} s"
                self._guard.records.failed(loaded, cause, expired=True)
            self._trace(loaded, f"no answer within {self._seconds:g} s")
            if not self.future.done():
                self.future.set_exception(ExtensionTimeout(loaded, self._seconds))
        self.future.cancel()
        self.task.cancel()
        self._guard.abandon(self, self.task, loaded)

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


def _mask(error: BaseException, mask: Callable[[str], str]) -> None:
    """Take secrets out of an answer that goes on to clients and reports."""
    error.args = tuple(mask(arg) if isinstance(arg, str) else arg for arg in error.args)
    if isinstance(error, Rejected):
        error.reason = mask(error.reason)
