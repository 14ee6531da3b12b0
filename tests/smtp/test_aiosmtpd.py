"""Against a server that others wrote: bytes arrive as they were composed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from helpers import Attempt, account, envelope
from mail_servers import Box, aiosmtpd

from asyncmail.builtin.smtp import SmtpTransport
from asyncmail.model import Disposition


@pytest.fixture
async def box() -> Box:
    return Box()


@pytest.fixture
async def port(box: Box) -> AsyncIterator[int]:
    async with aiosmtpd(box) as port:
        yield port


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
