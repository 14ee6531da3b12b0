"""What only a real HTTP server shows: lengths that lie, bodies that never end, clients that go away."""

from __future__ import annotations

import asyncio
import json

import pytest

from asyncmail.api import bodies

from .harness import TOKEN, Harness, message

SECONDS = 10  # for any answer, on a busy machine
HEAD = (
    "POST /commands/add-messages HTTP/1.1\r\n"
    "Host: mail.test\r\n"
    f"X-API-Token: {TOKEN}\r\n"
    "Connection: close\r\n"
)
BODY = json.dumps({"messages": [message()]}).encode()


async def answer(port: int, *pieces: bytes, end: bool = False) -> bytes:
    """Send, and read until the server closes; ``end``: close our side first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(SECONDS):
            for piece in pieces:
                writer.write(piece)
            if end:
                writer.write_eof()
            return await reader.read()
    finally:
        writer.close()


def head(*lines: str) -> bytes:
    return (HEAD + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode()


def status(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1])


async def test_an_honest_request_is_taken(api: Harness, port: int) -> None:
    reply = await answer(port, head(f"Content-Length: {len(BODY)}"), BODY)
    assert status(reply) == 200
    assert b'"queued":1' in reply
    assert api.store.pending() == 1


async def test_a_chunked_request_is_taken(api: Harness, port: int) -> None:
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    assert status(await answer(port, head("Transfer-Encoding: chunked"), chunk)) == 200
    assert api.store.pending() == 1


async def test_a_length_over_the_limit_is_refused_before_the_body(api: Harness, port: int) -> None:
    assert status(await answer(port, head("Content-Length: 99999999999"))) == 413


async def test_a_length_that_is_too_short_stores_nothing(api: Harness, port: int) -> None:
    assert status(await answer(port, head("Content-Length: 20"), BODY)) == 400
    assert api.store.pending() == 0


async def test_a_length_that_is_too_long_stores_nothing(api: Harness, port: int) -> None:
    reply = await answer(port, head(f"Content-Length: {len(BODY) + 1}"), BODY, end=True)
    assert b"200 OK" not in reply
    assert api.store.pending() == 0


async def test_two_lengths_are_refused(api: Harness, port: int) -> None:
    lines = (f"Content-Length: {len(BODY)}", "Transfer-Encoding: chunked")
    assert status(await answer(port, head(*lines), BODY)) == 400
    assert api.store.pending() == 0


async def test_endless_chunks_are_cut_off_at_the_limit(api: Harness, port: int) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    pieces = [chunk] * 16  # one more than the limit
    reply = await answer(port, head("Transfer-Encoding: chunked"), *pieces)
    assert status(reply) == 413
    assert api.store.pending() == 0


async def test_a_body_that_does_not_come_is_given_up(
    api: Harness, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)
    reply = await answer(port, head(f"Content-Length: {len(BODY)}"), BODY[:10])
    assert status(reply) == 408
    assert api.store.pending() == 0
