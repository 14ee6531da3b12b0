"""Transports that are started and stopped around a test."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from helpers import Context

from asyncmail.builtin.smtp import SmtpSettings, SmtpTransport
from asyncmail.testing.clock import ManualClock

PATIENT = {"connect": 5.0, "command": 5.0, "data": 5.0, "block": 5.0, "dot": 5.0}
HASTY = {"command": 0.3, "data": 0.3, "block": 0.3, "dot": 0.3}

MakeTransport = Callable[..., Awaitable[SmtpTransport]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def make_transport(clock: ManualClock) -> AsyncIterator[MakeTransport]:
    """Make started transports; keyword arguments are those of ``SmtpSettings``."""
    made: list[SmtpTransport] = []

    async def make(**changes: Any) -> SmtpTransport:
        timeouts = {**PATIENT, **changes.pop("timeouts", {})}
        settings = SmtpSettings(local_hostname="client.test", timeouts=timeouts, **changes)
        transport = SmtpTransport(settings, Context(clock, logging.getLogger("smtp")))
        made.append(transport)
        await transport.start()
        return transport

    yield make
    for transport in made:
        await transport.stop()


@pytest.fixture
async def transport(make_transport: MakeTransport) -> SmtpTransport:
    return await make_transport()


@pytest.fixture
async def hasty(make_transport: MakeTransport) -> SmtpTransport:
    """One that waits only 0.3 s for anything, for servers that never answer."""
    return await make_transport(timeouts=HASTY)
