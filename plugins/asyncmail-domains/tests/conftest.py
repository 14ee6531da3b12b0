"""What the tests share: a scripted name server, and validators that ask it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from asyncmail_domains import DomainsSettings, DomainsValidator
from dns_server import DnsServer

from asyncmail.testing import LoneContext, ManualClock

pytest_plugins = ["asyncmail.testing.fixtures"]

ZONE = {
    "mx.example": {"MX": ["10 mail.mx.example.", "20 backup.mx.example."]},
    "a.example": {"A": ["192.0.2.1"]},
    "aaaa.example": {"AAAA": ["2001:db8::1"]},
    "null.example": {"MX": ["0 ."]},
    "empty.example": {"TXT": ['"nothing for mail"']},
}


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    async with DnsServer(ZONE).running() as server:
        yield server


@pytest.fixture
async def validator(dns: DnsServer, clock: ManualClock) -> AsyncIterator[Callable[..., Any]]:
    """Makes started validators; arguments are settings."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> DomainsValidator:
            server = {"nameservers": ["127.0.0.1"], "nameserver_port": dns.port}
            context = LoneContext(clock, name="domains")
            made = DomainsValidator(DomainsSettings(**{**server, **settings}), context)
            stack.push_async_callback(made.stop)
            await made.start()
            return made

        yield make
