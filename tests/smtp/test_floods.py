"""Peers that say too much or take too little: memory stays what the message needs."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from helpers import Attempt, ScriptedServer, account, envelope

from asyncmail.builtin.smtp import SmtpTransport
from asyncmail.model import Disposition
from asyncmail.testing import FaultSMTP, Profile

MIB = 1 << 20


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """No more bytes than that are allocated beyond those of before."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] <= size
    finally:
        tracemalloc.stop()


@pytest.mark.fault("smtp.flood")
@pytest.mark.parametrize("piece", [b"250-more\r\n" * 1000, b"x" * 10_000], ids=["lines", "line"])
@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "MAIL", "DATA", "DOT"])
async def test_a_reply_without_end_is_not_kept(
    transport: SmtpTransport, verb: str, piece: bytes
) -> None:
    async def flood(connection) -> None:
        while True:  # until the client is gone
            await connection.write(piece)

    async with ScriptedServer({verb: flood}) as smtp:
        with at_most(4 * MIB):
            sending = transport.send(envelope(), account(smtp.port), Attempt())
            (outcome,) = (await asyncio.wait_for(sending, 4)).outcomes  # no timeout ends it
        assert outcome.disposition is (
            Disposition.UNCERTAIN if verb == "DOT" else Disposition.TEMPORARY
        )
        await asyncio.wait_for(smtp.connections[0].ended.wait(), 4)


@pytest.mark.fault("smtp.zero_window")
async def test_a_server_that_takes_no_more_is_given_up_before_the_dot(
    hasty: SmtpTransport,
) -> None:
    size, connections = 5 * MIB, 4
    line = b"x" * 70 + b"\r\n"
    large = envelope(data=b"Subject: x\r\n\r\n" + line * (size // len(line)))
    async with FaultSMTP(profile=Profile(receive_buffer=4096, script="body.stall")) as smtp:
        to = account(smtp.port)
        with at_most(connections * (size + MIB)):  # each has its copy with the dots doubled
            sending = [hasty.send(large, to, Attempt()) for _ in range(connections)]
            for delivery in await asyncio.wait_for(asyncio.gather(*sending), 10):
                (outcome,) = delivery.outcomes
                assert outcome.disposition is Disposition.TEMPORARY
                assert "room for the message did not come within 0.3 s" in outcome.text
        assert smtp.accepted == []
