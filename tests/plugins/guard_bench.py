"""A guard under test: on a clock moved by hand, with extensions that misbehave on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asyncmail import Extension
from asyncmail.plugins.guard import ExtensionTimeout, Guard
from asyncmail.plugins.kinds import Kind, Loaded
from asyncmail.plugins.secrets import SecretRegistry
from asyncmail.testing.clock import ManualClock

PATIENCE = 5.0  # real seconds that a test waits at most


class Nothing(Extension):
    """An extension whose methods the tests write inline."""


def loaded(kind: Kind = Kind.TRANSPORT, name: str = "odd") -> Loaded[Extension]:
    return Loaded(kind, name, "odd-package", "1.2", Nothing())


class Bench:
    """A guard on a clock that the test moves, and what it said of failures."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.secrets = SecretRegistry()
        self.failures: list[str] = []
        self.states: list[bool] = []
        self.guard = Guard(
            self.clock,
            on_failure=lambda _, cause: self.failures.append(cause),
            on_state=lambda _, is_up: self.states.append(is_up),
            mask=self.secrets.mask,
        )

    async def call(
        self,
        extension: Loaded[Extension],
        make: Callable[[], Awaitable[Any]],
        *,
        deadline: float = 1.0,
        expect: Callable[[Any], Any] | None = None,
    ) -> Any:
        call = self.guard.call(extension, make, deadline=deadline, expect=expect)
        return await asyncio.wait_for(call, PATIENCE)

    async def expire(
        self, extension: Loaded[Extension], make: Callable[[], Awaitable[Any]]
    ) -> None:
        """Call, let the deadline pass, and see it expire."""
        begun = asyncio.Event()

        async def work() -> Any:
            begun.set()
            return await make()

        call = asyncio.ensure_future(self.call(extension, work))
        await asyncio.wait_for(begun.wait(), PATIENCE)
        self.clock.advance(1.0)
        with pytest.raises(ExtensionTimeout):
            await call


async def forever() -> None:
    await asyncio.Event().wait()


class Stubborn:
    """Swallows cancellations until the test lets it go."""

    def __init__(self, then: Callable[[], Any] = lambda: "late answer") -> None:
        self.released = asyncio.Event()
        self.cancellations = 0
        self._then = then

    async def __call__(self) -> Any:
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.cancellations += 1
        return self._then()


async def settle(condition: Callable[[], bool]) -> None:
    """Give the loop turns until ``condition`` holds."""

    async def turns() -> None:
        while not condition():  # noqa: ASYNC110 - a condition of any kind has no event
            await asyncio.sleep(0)

    await asyncio.wait_for(turns(), PATIENCE)
