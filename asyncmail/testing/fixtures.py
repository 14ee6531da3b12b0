"""Fixtures for tests against real parts; in the conftest at the root of your tests::

    pytest_plugins = ["asyncmail.testing.fixtures"]

Async tests run on asyncio, as the service does, if they are marked ``anyio`` or if pytest's
configuration says ``anyio_mode = "auto"``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from asyncmail.store.base import Store
from asyncmail.store.keys import KeyRing
from asyncmail.store.sqlite import SQLiteStore
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.faultsmtp import FaultSMTP
from asyncmail.testing.receiver import ReportReceiver
from asyncmail.testing.running import RunningService, StartService


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> ManualClock:
    """The time of everything below; ``clock.advance(seconds)``."""
    return ManualClock()


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Store]:
    """An empty store, on a SQLite file."""
    keys = KeyRing.load(tmp_path / "store.key")
    store = SQLiteStore(tmp_path / "store.db", clock=clock, keys=keys, min_free_bytes=0)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def smtp_server() -> AsyncIterator[FaultSMTP]:
    """An SMTP server that misbehaves on demand; its clients must have kept to the protocol."""
    async with FaultSMTP() as server:
        yield server
        server.assert_clean()


@pytest.fixture
async def report_server() -> AsyncIterator[ReportReceiver]:
    """An HTTP server that takes delivery reports and answers as told."""
    async with ReportReceiver() as server:
        yield server


@pytest.fixture
def service_plugins() -> Mapping[str, Any]:
    """``[plugins]`` of the service: override it to try a plugin of yours in the whole application, for
    example ``{"sinks": ["genropy", "mine"], "mine": {"url": "..."}}``."""
    return {}


@pytest.fixture
def start_service(
    tmp_path: Path,
    clock: ManualClock,
    smtp_server: FaultSMTP,
    report_server: ReportReceiver,
    service_plugins: Mapping[str, Any],
) -> StartService:
    """``async with start_service() as service``: as often as needed, on the same database."""
    return StartService(tmp_path, clock, smtp_server.port, report_server.url, service_plugins)


@pytest.fixture
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    """The whole application with the account ``shop``, which leads to ``smtp_server``.

    It is in test mode: nothing happens but on ``service.dispatch()`` and ``service.run_now()``.
    """
    async with start_service() as running:
        await running.account()
        yield running


@pytest.fixture
def client(service: RunningService) -> httpx.AsyncClient:
    """A client of the service's REST API."""
    return service.client
