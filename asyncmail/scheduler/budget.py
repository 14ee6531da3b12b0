"""A budget of bytes that work under way may hold in memory together."""

from __future__ import annotations

import asyncio
from collections import deque


class Hold:
    """A part of the budget, held by an ``async with`` block; ``shrink`` gives back what is not needed."""

    def __init__(self, budget: ByteBudget, size: int) -> None:
        self._budget = budget
        self.size = size

    async def __aenter__(self) -> Hold:
        if self.size:
            await self._budget.take(self.size)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.shrink(0)

    def shrink(self, size: int) -> None:
        """Only ``size`` bytes are needed after all."""
        if size < self.size:
            self._budget.give_back(self.size - size)
            self.size = size


class ByteBudget:
    """First come, first served. What is larger than the whole budget gets it alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free = limit
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def hold(self, size: int) -> Hold:
        """Wait until ``size`` bytes are free, and hold them: ``async with budget.hold(size) as hold``."""
        return Hold(self, min(size, self._limit))

    def give_back(self, size: int) -> None:
        """Return a part of the budget and let those in who now fit."""
        self._free += size
        while self._waiting and self._waiting[0][0] <= self._free:
            wanted, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._free -= wanted
                turn.set_result(None)

    async def take(self, size: int) -> None:
        """Wait for a part of the budget."""
        if not self._waiting and size <= self._free:
            self._free -= size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(size)
            raise
