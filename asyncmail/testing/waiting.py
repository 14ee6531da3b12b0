"""Waiting for what a server in the same loop will see, without polling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Waitable:
    """Something that others can wait on: ``changed`` is called whenever it may look different."""

    def __init__(self) -> None:
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    async def wait_for(self, predicate: Callable[[], bool], timeout: float = 5.0) -> None:  # noqa: ASYNC109 - a bound is the point
        """Return as soon as ``predicate()`` is true; ``TimeoutError`` after ``timeout`` seconds."""
        if predicate():
            return
        waiter = (predicate, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter[1]
        finally:
            self._waiters.remove(waiter)

    def changed(self) -> None:
        """Look at the predicates again."""
        for predicate, future in self._waiters:
            if not future.done() and predicate():
                future.set_result(None)
