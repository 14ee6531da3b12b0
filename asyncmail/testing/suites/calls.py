"""Calling an extension under the eyes of a suite: how it may end, and that it never blocks the loop."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest

T = TypeVar("T")

ANSWER_SECONDS = 5.0  # unless a suite says otherwise; far more than any call here needs
CANCEL_SECONDS = 1.0  # the grace that the service gives a cancelled call
BLOCKED_SECONDS = 0.5  # the loop stood still: the service would name the extension
HANGING_SECONDS = 0.3  # a call that has not ended by then is taken to wait for its peer
_TICK = 0.05


def broken(words: str) -> NoReturn:
    """Fail the test with nothing but the words; the author's code is not in the traceback anyway."""
    pytest.fail(words, pytrace=False)


def promise(kept: bool, words: str) -> None:
    """Fail with the words, which say what the author must change, unless the promise is kept."""
    if not kept:
        broken(words)


async def ask(
    what: str,
    call: Callable[[], Awaitable[T]],
    *,
    advice: str,
    answers: tuple[type[Exception], ...] = (),
    seconds: float = ANSWER_SECONDS,
) -> T:
    """What ``call()`` answers, in a task of its own. ``what`` names the call, ``advice`` follows the
    name of an exception that is none of ``answers``; those are raised here."""
    with unblocked(what):
        task = asyncio.ensure_future(_contained(call))
        done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        await end(what, task)
        broken(
            f"{what} gave no answer within {seconds:g} s: bound every wait with asyncio.timeout()"
        )
    result, error = task.result()
    if error is None:
        return result  # type: ignore[no-any-return]
    if isinstance(error, answers):
        raise error
    broken(f"{what} {_told(error)}{_advice(error, advice)}")


async def hang(what: str, call: Callable[[], Awaitable[Any]]) -> None:
    """A call whose peer is silent: it has to wait, and to end at once when it is cancelled."""
    with unblocked(what):
        task = asyncio.ensure_future(_contained(call))
        done, _ = await asyncio.wait({task}, timeout=HANGING_SECONDS)
    if done:
        result, error = task.result()
        ended = _told(error) if error else f"answered {result!r}"
        broken(f"{what} {ended} while its peer was silent: wait for the peer's own answer")
    await end(what, task)


async def end(what: str, task: asyncio.Task[Any]) -> None:
    """Cancel a call; it has to end within the grace that the service gives."""
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=CANCEL_SECONDS)
    if not done:
        _forget(task)
        broken(
            f"{what} goes on after its cancellation: let CancelledError through, do not catch it (or"
            " BaseException) without raising it again, and keep clean-up short"
        )


async def _contained(call: Callable[[], Awaitable[Any]]) -> tuple[Any, BaseException | None]:
    """The answer or the exception, as a value: a SystemExit must not end the test run."""
    current = asyncio.current_task()
    try:
        answer = await call()
    except BaseException as error:
        return None, error
    if current is not None and current.cancelling():
        return None, asyncio.CancelledError("a request that it did not wait for")
    return answer, None


def _told(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "cancelled itself"
    frames = traceback.extract_tb(error.__traceback__)
    at = f" ({_place(frames[-1])})" if frames else ""
    text = str(error)
    return f"raised {type(error).__name__}{f': {text}' if text else ''}{at}"


def _advice(error: BaseException, advice: str) -> str:
    if isinstance(error, asyncio.CancelledError):
        return ": cancellation is the service's; end by returning or raising, not by task.cancel()"
    if not isinstance(error, Exception):
        return ": nothing in a plugin may end the process; raise an error of your own instead"
    return f": {advice}"


def _place(frame: traceback.FrameSummary) -> str:
    return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"


def _forget(task: asyncio.Task[Any]) -> None:
    """Take a task that does not end out of asyncio's books, or the loop could never close."""
    asyncio._unregister_task(task)  # part of asyncio's documented interface for task authors
    task._log_destroy_pending = False  # type: ignore[attr-defined]


@contextmanager
def unblocked(what: str) -> Iterator[None]:
    """Fails if the event loop stands still inside the block, and says where."""
    watch = _Watch()
    watch.start()
    try:
        yield
    finally:
        watch.stop()
    if watch.place:
        broken(
            f"{what} held up the event loop for more than {BLOCKED_SECONDS:g} s, at {watch.place}:"
            " use an async library, or await asyncio.to_thread() for what blocks"
        )


class _Watch:
    """A thread that looks whether the loop still ticks; it must itself run on time to judge."""

    def __init__(self) -> None:
        self.place = ""
        self._loop = asyncio.get_running_loop()
        self._main = threading.get_ident()
        self._over = threading.Event()
        self._ticked = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._look, name="asyncmail-watch", daemon=True)

    def start(self) -> None:
        self._tick()
        self._thread.start()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._over.set()
        self._thread.join()

    def _tick(self) -> None:
        self._ticked = time.monotonic()
        self._timer = self._loop.call_later(_TICK, self._tick)

    def _look(self) -> None:
        looked = time.monotonic()
        while not self._over.wait(_TICK):
            now = time.monotonic()
            if now - looked > BLOCKED_SECONDS / 2:
                self._ticked = now  # the whole machine was held up, which is nobody's fault
            looked = now
            if now - self._ticked > BLOCKED_SECONDS and not self.place:
                frame = sys._current_frames().get(self._main)
                self.place = _place(traceback.extract_stack(frame)[-1]) if frame else "?"
