"""What the tests share: a domain with two keys, and filters that use them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from asyncmail_dkim import DkimFilter
from dkim_world import World

from asyncmail import Filter
from asyncmail.testing import make_extension


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.make(tmp_path_factory.mktemp("dkim"))


@pytest.fixture
async def started(world: World) -> AsyncIterator[Callable[..., Any]]:
    """Makes started filters with both keys; arguments are settings."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> DkimFilter:
            made = make_extension(Filter, "dkim", {"keys": world.settings, **settings})
            assert isinstance(made, DkimFilter)
            stack.push_async_callback(made.stop)
            await made.start()
            return made

        yield make
