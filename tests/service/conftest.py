"""A service between a real SMTP server and a real report receiver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from service_harness import Running, Start
from service_plugins import Install, installing

from asyncmail.testing import FaultSMTP, ManualClock, ReportReceiver


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def smtp() -> AsyncIterator[FaultSMTP]:
    async with FaultSMTP() as server:
        yield server
        server.assert_clean()


@pytest.fixture
async def receiver() -> AsyncIterator[ReportReceiver]:
    async with ReportReceiver() as server:
        yield server


@pytest.fixture
def start(tmp_path: Path, clock: ManualClock, smtp: FaultSMTP, receiver: ReportReceiver) -> Start:
    return Start(tmp_path, clock, smtp, receiver.url)


@pytest.fixture
async def app(start: Start) -> AsyncIterator[Running]:
    """A service with the account ``shop``."""
    async with start() as running:
        await running.account()
        yield running


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    with installing(tmp_path / "site", monkeypatch) as install:
        yield install
