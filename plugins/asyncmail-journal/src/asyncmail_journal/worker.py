"""A thread for what blocks, whose end can be awaited, and which keeps no process from exiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress


class Worker:
    """Runs ``work()`` in a thread of its own; made in the event loop."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        # A disk that does not answer must not hold up the exit: hence a daemon.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def ended(self) -> None:
        await self._over.wait()
        self._thread.join()  # its last steps; nothing there can block

    def _run(self) -> None:
        try:
            self._work()
        finally:
            with suppress(RuntimeError):  # nobody waits any more, the loop is closed
                self._loop.call_soon_threadsafe(self._over.set)
