"""The REST API over a real store and a real intake, with a scheduler that sends nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from asyncmail.api import ApiParts, create_api
from asyncmail.connections import connections
from asyncmail.intake import Intake
from asyncmail.model import Account, OnUncertain
from asyncmail.plugins.guard import Guard
from asyncmail.plugins.manager import PluginManager
from asyncmail.prometheus import MailMetrics
from asyncmail.scheduler.accounts import AccountDirectory
from asyncmail.scheduler.events import EventStream
from asyncmail.store.keys import KeyRing
from asyncmail.store.sqlite import SQLiteStore
from asyncmail.testing.clock import ManualClock

from .harness import AT_MOST, CANARY, TOKEN, Harness, Server, StillScheduler


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def api(tmp_path: Path, server: Server) -> AsyncIterator[Harness]:
    clock = ManualClock()
    store = SQLiteStore(tmp_path / "mail.db", clock=clock, keys=KeyRing.load(tmp_path / "key"))
    await store.open()
    directory = AccountDirectory(
        store, on_uncertain=OnUncertain.RETRY, on_secret=lambda secret: None
    )
    await store.put_account(
        Account("shop", "smtp.example.com", user="shop", password=CANARY), keep_password=False
    )
    await directory.load()
    scheduler = StillScheduler(directory)
    guard = Guard(clock, on_failure=lambda loaded, cause: None)
    metrics = MailMetrics()
    plugins = PluginManager()
    plugins.discover()
    parts = ApiParts(
        server=server,
        store=store,
        intake=Intake(
            store, directory, scheduler, guard, clock, EventStream(clock), max_queued=10_000
        ),
        scheduler=scheduler,
        metrics=metrics,
        plugins=plugins,
        transports=("smtp", "maildir"),
    )
    app = create_api(parts)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"X-API-Token": TOKEN}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://mail.test", headers=headers
    ) as client:
        yield Harness(app, client, store, scheduler, clock, metrics)
    await store.close()


@pytest.fixture
async def port(api: Harness) -> AsyncIterator[int]:
    """The same API behind its HTTP server, which takes ``AT_MOST`` connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        api.app, http=connections(AT_MOST), ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    yield listener.getsockname()[1]
    server.should_exit = True
    await serving
