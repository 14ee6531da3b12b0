"""A thread that notices when the event loop is blocked, and names the extension that blocks it.

Nothing in one process can stop code that does not return to the event loop; this makes it known.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Iterable
from time import monotonic
from types import FrameType, TracebackType
from typing import Final, Self

from asyncmail.plugins.guard import Guard
from asyncmail.plugins.interfaces import Extension
from asyncmail.plugins.kinds import Loaded

log: Final = logging.getLogger("asyncmail.watchdog")

BEAT_SECONDS = 0.1  # between two questions to the loop
BLOCKED_SECONDS = 0.5  # without an answer
WINDOW_SECONDS = 30.0  # ``lag`` tells the worst of the last one to two of these
OWN_PACKAGE = "asyncmail"


class Watchdog:
    """Asks the running event loop again and again for a sign of life, inside a ``with`` block.

    A loop that gives none within half a second has its stack logged at once; the extension whose call
    is running, or whose code is on the stack, is named and later counted by the guard.
    """

    def __init__(self, guard: Guard, extensions: Iterable[Loaded[Extension]]) -> None:
        self._guard = guard
        self._extensions = tuple(extensions)
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._stopping = threading.Event()
        self._answered = threading.Event()
        self._worst = self._worst_before = 0.0  # seconds of lag, in this window and the last one
        self._window_ends = monotonic() + WINDOW_SECONDS
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._answered.set()
        self._thread.join()

    @property
    def lag(self) -> float:
        """The longest time, in seconds, that work which was ready waited for the loop of late."""
        self._turn(monotonic())
        return max(self._worst, self._worst_before)

    # --- in the loop ---

    def _answer(self, asked: float) -> None:
        now = monotonic()
        self._turn(now)
        self._worst = max(self._worst, now - asked)
        self._answered.set()

    def _turn(self, now: float) -> None:
        if now >= self._window_ends:
            missed = now - self._window_ends >= WINDOW_SECONDS
            self._worst_before = 0.0 if missed else self._worst
            self._worst = 0.0
            self._window_ends = now + WINDOW_SECONDS

    # --- in the thread ---

    def _watch(self) -> None:
        while not self._stopping.wait(BEAT_SECONDS):
            asked = monotonic()
            self._answered.clear()
            try:
                self._loop.call_soon_threadsafe(self._answer, asked)
                if not self._is_blocked(asked):
                    continue
                culprit = self._report()
                self._answered.wait()
                seconds = monotonic() - asked
                log.warning("the event loop goes on after %.1f s", seconds)
                if culprit is not None:
                    self._loop.call_soon_threadsafe(self._guard.blocked, culprit, seconds)
            except RuntimeError:  # the loop is closed
                return

    def _is_blocked(self, asked: float) -> bool:
        if self._answered.wait(BLOCKED_SECONDS) or self._stopping.is_set():
            return False
        if monotonic() - asked < 2 * BLOCKED_SECONDS:
            return True
        # This thread was held up as well: the whole process slept, so the loop gets its time anew.
        return not self._answered.wait(BLOCKED_SECONDS) and not self._stopping.is_set()

    def _report(self) -> Loaded[Extension] | None:
        frame = sys._current_frames().get(self._loop_thread)
        culprit = self._guard.running(asyncio.current_task(self._loop)) or self._owner(frame)
        stack = "".join(traceback.format_stack(frame)).rstrip()
        who = str(culprit) if culprit else "something that is no call of an extension"
        log.warning(
            "the event loop is blocked for more than %g s by %s:\n%s", BLOCKED_SECONDS, who, stack
        )
        return culprit

    def _owner(self, frame: FrameType | None) -> Loaded[Extension] | None:
        """Whose code is on the stack: extensions have tasks and callbacks of their own, too."""
        while frame is not None:
            module = frame.f_globals.get("__name__", "")
            for loaded in self._extensions:
                if belongs_to(module, type(loaded.extension).__module__):
                    return loaded
            frame = frame.f_back
        return None


def belongs_to(module: str, home: str) -> bool:
    """Whether a module is the extension's own, or of the package that it lives in."""
    package = home.partition(".")[0]
    if package == OWN_PACKAGE:
        return module == home
    return module.partition(".")[0] == package
