"""The validator and the transport keep the promises of their kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from email import message_from_bytes
from typing import Any

import pytest
from dns_server import DnsServer

from asyncmail import Transport
from asyncmail.model import Message
from asyncmail.testing import (
    Behaviour,
    Received,
    SmtpPeer,
    TransportSuite,
    ValidatorSuite,
    make_extension,
    samples,
)


class TestDomains(ValidatorSuite):
    offer = "domains"

    @pytest.fixture
    async def names(self) -> AsyncIterator[DnsServer]:
        server = DnsServer({"null.example": {"MX": ["0 ."]}})
        server.catch_all = True
        async with server.running():
            yield server

    @pytest.fixture
    def settings(self, names: DnsServer) -> Mapping[str, Any]:
        return {
            "deny": ["denied.example"],
            "nameservers": ["127.0.0.1"],
            "nameserver_port": names.port,
        }

    @pytest.fixture
    def rejected(self) -> Sequence[Message]:
        return [
            samples.message("denied", "bob@denied.example"),
            samples.message("null", "bob@null.example"),
        ]


class Smarthost(SmtpPeer):
    """Sees one recipient, whoever a message was for, and behaves as the last address asked for."""

    def address(self, name: str, behaviour: Behaviour) -> str:
        script = self._SCRIPTS[behaviour].removeprefix("+")
        self.server.profile = replace(self.server.profile, script=script)
        return f"{name}@customer.example"

    async def received(self) -> Sequence[Received]:
        return [
            Received(tuple(message_from_bytes(copy.data).get_all("X-Original-To", ())), copy.data)
            for copy in self.server.accepted
        ]


class TestRedirect(TransportSuite):
    offer = "redirect"
    cannot = {  # noqa: RUF012 - as the suite wants it
        "test_one_of_three_recipients_is_refused": "there is one copy, so all share its fate"
    }

    @pytest.fixture
    async def peer(self) -> AsyncIterator[Smarthost]:
        async with Smarthost.running() as peer:
            yield peer

    @pytest.fixture
    async def transports(self) -> AsyncIterator[Mapping[str, Transport]]:
        smtp = make_extension(Transport, "smtp")
        await smtp.start()
        yield {"smtp": smtp}
        await smtp.stop()

    @pytest.fixture
    def settings(self) -> Mapping[str, Any]:
        return {"recipients": ["qa@staging.example"]}
