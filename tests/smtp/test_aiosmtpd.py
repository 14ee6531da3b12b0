"""Against a server that others wrote: bytes arrive as they were composed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP as Server  # noqa: N811 - a class named in capitals
from helpers import Attempt, account, envelope

from asyncmail.builtin.smtp import SmtpTransport
from asyncmail.model import Disposition


class Box:
    """aiosmtpd's handler: keeps what comes."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, list[str], bytes]] = []

    async def handle_RCPT(self, server, session, letter, address, options) -> str:  # noqa: N802
        if address.startswith("nobody"):
            return "550 5.1.1 nobody here"
        letter.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, letter) -> str:  # noqa: N802
        self.letters.append((letter.mail_from, letter.rcpt_tos, letter.content))
        return "250 2.0.0 thank you"


@pytest.fixture
async def box() -> Box:
    return Box()


@pytest.fixture
async def port(box: Box) -> AsyncIterator[int]:
    protocols: list[Any] = []

    def make() -> Server:
        protocols.append(Server(box, enable_SMTPUTF8=True, hostname="aiosmtpd.test"))
        return protocols[-1]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for protocol in protocols:
        if protocol.transport is not None:
            protocol.transport.abort()
    await asyncio.sleep(0)
    await server.wait_closed()  # since Python 3.12 it waits for the connections, too


BODIES = {
    "plain": b"Subject: x\r\n\r\nHello.\r\n",
    "dots": b".\r\n..\r\n.x\r\n\r\n.\r\n..\r\nx.\r\n.",
    "empty": b"\r\n",
    "8 bit": "Subject: x\r\n\r\nÄpfel\r\n".encode(),
    "large": b"Subject: x\r\n\r\n" + b".0123456789\r\n" * 20_000,
}


@pytest.mark.parametrize("data", BODIES.values(), ids=BODIES)
async def test_bytes_arrive_as_composed(
    transport: SmtpTransport, box: Box, port: int, data: bytes
) -> None:
    delivery = await transport.send(envelope(data=data), account(port), Attempt())
    assert delivery.outcomes[0].disposition is Disposition.ACCEPTED
    assert delivery.outcomes[0].describe() == "250 2.0.0 thank you"
    end = b"" if data.endswith(b"\r\n") else b"\r\n"
    assert box.letters == [("a@example.org", ["b@example.net"], data + end)]


async def test_one_connection_many_letters_each_with_its_own_envelope(
    transport: SmtpTransport, box: Box, port: int
) -> None:
    for n in range(20):
        message = envelope(
            f"r{n}@example.net", "nobody@example.net", f"ü{n}@example.net", sender=""
        )
        delivery = await transport.send(message, account(port), Attempt())
        assert [o.disposition.value for o in delivery.outcomes] == [
            "accepted",
            "permanent",
            "accepted",
        ]
    assert [to for _, to, _ in box.letters] == [
        [f"r{n}@example.net", f"ü{n}@example.net"] for n in range(20)
    ]
    assert transport.connections() == {"busy": 0, "idle": 1}
