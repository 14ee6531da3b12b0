"""What the tests share: a journal in a temporary folder, and its lines as a reader sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from asyncmail_journal import JournalObserver

from asyncmail import Observer
from asyncmail.testing import LoneContext, ManualClock, make_extension


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "events.jsonl"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def started(path: Path, clock: ManualClock) -> AsyncIterator[Callable[..., Any]]:
    """Makes started observers; arguments are settings."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> JournalObserver:
            context = LoneContext(clock, name="journal")
            made = make_extension(Observer, "journal", {"path": str(path), **settings}, context)
            assert isinstance(made, JournalObserver)
            stack.push_async_callback(made.stop)
            await made.start()
            return made

        yield make
