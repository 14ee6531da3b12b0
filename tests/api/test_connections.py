"""Connections that dawdle, crowd, or speak something like HTTP: none holds up another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from asyncmail import connections

from .harness import AT_MOST, TOKEN, Harness, message

SECONDS = 10.0  # for anything, on a busy machine
SHORT = 0.2
STATUS = f"GET /status HTTP/1.1\r\nHost: x\r\nX-API-Token: {TOKEN}\r\n\r\n".encode()
BODY = json.dumps({"messages": [message()]}).encode()
POST = f"POST /commands/add-messages HTTP/1.1\r\nHost: x\r\nX-API-Token: {TOKEN}\r\n".encode()


class Peer:
    """A client that writes what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def rest(self) -> bytes:
        """All that comes until the server closes; a reset counts as that."""
        received = b""
        async with asyncio.timeout(SECONDS):
            try:
                while chunk := await self.reader.read(65_536):
                    received += chunk
            except ConnectionError:
                pass
        return received

    async def reply(self) -> bytes:
        """One reply with its body, while the connection stays."""
        async with asyncio.timeout(SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return head + await self.reader.readexactly(length)


@asynccontextmanager
async def peer(port: int) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()


async def said(port: int, data: bytes) -> bytes:
    async with peer(port) as client:
        client.send(data)
        return await client.rest()


def statuses(received: bytes) -> list[int]:
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


def is_problem(received: bytes) -> bool:
    head, _, body = received.partition(b"\r\n\r\n")
    problem = json.loads(body)
    return (
        b"content-type: application/problem+json" in head.lower()
        and b"x-content-type-options: nosniff" in head.lower()
        and problem["request_id"].encode() in head
        and len(received) < 1000
    )


# --- slow ----------------------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_SECONDS", "REST_SECONDS", "READ_SECONDS"):
        monkeypatch.setattr(connections, name, SHORT)


@pytest.mark.bad_input("slow heads")
@pytest.mark.parametrize("start", [b"", b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ", b"\r\n"])
async def test_a_head_that_drips_is_given_up(short: None, port: int, start: bytes) -> None:
    async with peer(port) as client:
        client.send(start)
        drip = asyncio.create_task(dripping(client, b"x" if start.strip() else b"\r\n"))
        received = await client.rest()
        drip.cancel()
    assert statuses(received) in ([], [408])
    if received:
        assert is_problem(received)


async def dripping(client: Peer, data: bytes) -> None:
    while True:
        await asyncio.sleep(SHORT / 10)
        client.send(data)


@pytest.mark.bad_input("slow heads")
async def test_a_second_head_that_drips_is_given_up_as_the_first(short: None, port: int) -> None:
    async with peer(port) as client:
        client.send(STATUS)
        assert statuses(await client.reply()) == [200]
        client.send(STATUS[:-4])
        drip = asyncio.create_task(dripping(client, b"x"))
        assert statuses(await client.rest()) == [408]
        drip.cancel()


@pytest.mark.bad_input("slow heads")
async def test_a_head_in_pieces_is_one_if_it_comes_in_time(port: int) -> None:
    async with peer(port) as client:
        for _ in range(2):
            for start in range(0, len(STATUS), 7):
                client.send(STATUS[start : start + 7])
                await asyncio.sleep(0)
            assert statuses(await client.reply()) == [200]


@pytest.mark.bad_input("slow bodies")
async def test_a_body_that_nobody_waits_for_is_given_up(short: None, port: int) -> None:
    async with peer(port) as client:
        client.send(POST.replace(TOKEN.encode(), b"wrong") + b"Content-Length: 999999\r\n\r\n")
        drip = asyncio.create_task(dripping(client, b"x"))
        assert statuses(await client.rest()) == [401]
        drip.cancel()


@pytest.mark.bad_input("slow bodies")
async def test_a_body_that_nobody_waits_for_may_end_in_time(port: int) -> None:
    async with peer(port) as client:
        client.send(POST.replace(TOKEN.encode(), b"wrong") + b"Content-Length: 10\r\n\r\n")
        assert statuses(await client.reply()) == [401]
        client.send(b"0123456789" + STATUS)
        assert statuses(await client.reply()) == [200]


@pytest.mark.bad_input("slow readers")
async def test_a_reply_that_is_not_read_is_given_up(short: None, api: Harness, port: int) -> None:
    await api.add(*(message(f"m{n}", body="x" * 900) for n in range(700)))
    await api.add(*(message(f"n{n}", body="x" * 900) for n in range(700)))
    request = STATUS.replace(b"/status", b"/messages?limit=10000")
    async with peer(port) as client:
        client.writer.transport.pause_reading()
        client.send(request * 8)
        await asyncio.sleep(SHORT * 3)
        client.writer.transport.resume_reading()
        received = await client.rest()
    assert len(received) < 8 * 1_400_000
    assert statuses(await said(port, STATUS.replace(b"Host: x", b"Connection: close"))) == [200]


# --- many ----------------------------------------------------------------------------------------


@pytest.mark.bad_input("many connections")
async def test_whoever_waits_longest_without_a_request_makes_room(port: int) -> None:
    async with several(port, AT_MOST) as idle:
        for client in idle:
            client.send(b"GET /sta")
        await asyncio.sleep(0.05)
        async with peer(port) as honest:
            honest.send(STATUS)
            assert statuses(await honest.reply()) == [200]
        assert await idle[0].rest() == b""
        idle[-1].send(STATUS[8:])
        assert statuses(await idle[-1].reply()) == [200]


@pytest.mark.bad_input("many connections")
async def test_where_all_connections_work_a_new_one_is_told_to_come_again(
    api: Harness, port: int
) -> None:
    async with several(port, AT_MOST) as busy:
        for client in busy:
            client.send(POST + b"Content-Length: %d\r\n\r\n" % len(BODY))
        await asyncio.sleep(0.1)
        received = await said(port, b"")
        assert statuses(received) == [503]
        assert b"retry-after: 1" in received.lower()
        assert is_problem(received)
        for client in busy:
            client.send(BODY)
            assert statuses(await client.reply()) == [200]
    assert api.store.pending() == 1


@asynccontextmanager
async def several(port: int, count: int) -> AsyncIterator[list[Peer]]:
    peers = [Peer(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(count)]
    try:
        yield peers
    finally:
        for client in peers:
            client.writer.close()


# --- odd -----------------------------------------------------------------------------------------

LENGTH = b"Content-Length: %d\r\n" % len(BODY)


@pytest.mark.bad_input("request smuggling")
@pytest.mark.parametrize(
    "head",
    [
        LENGTH + b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\n" + LENGTH,
        LENGTH + b"Content-Length: 5\r\n",
        LENGTH + LENGTH,
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: \r\n",
        b"Content-Length : 5\r\n",
        b"Content-Length: 5\x0b\r\n",
        b"Transfer-Encoding: identity, chunked, gzip\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b" Transfer-Encoding: chunked\r\n",
        b"X-A: b\n" + LENGTH,
        b"X-A: b\rX-B: c\r\n" + LENGTH,
        b"X-A: b\0\r\n" + LENGTH,
        b"X\0A: b\r\n" + LENGTH,
        b"X A: b\r\n" + LENGTH,
    ],
    ids=ascii,
)
async def test_a_request_with_an_unsure_end_is_refused(
    api: Harness, port: int, head: bytes
) -> None:
    hidden = b"POST /commands/suspend HTTP/1.1\r\nHost: x\r\nX-API-Token: %s\r\n\r\n"
    received = await said(port, POST + head + b"\r\n" + BODY + hidden % TOKEN.encode())
    assert statuses(received)[:1] in ([400], [415])
    assert 200 not in statuses(received)
    assert api.scheduler.active
    assert api.store.pending() == 0


@pytest.mark.bad_input("request smuggling")
@pytest.mark.parametrize(
    "body",
    [b"x\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"1\r\nab\r\n0\r\n\r\n", b"0\n\n", b"\r\n"],
)
async def test_a_chunk_that_is_none_stores_nothing(api: Harness, port: int, body: bytes) -> None:
    good = b"%x\r\n%s\r\n" % (len(BODY), BODY)
    received = await said(port, POST + b"Transfer-Encoding: chunked\r\n\r\n" + good + body)
    assert statuses(received) == [400]
    assert api.store.pending() == 0


@pytest.mark.bad_input("something like HTTP")
@pytest.mark.parametrize(
    "request_bytes",
    [
        *(b"GET /\r\n\r\n", b"GET / HTTP/0.9\r\n\r\n", b"GET / HTTP/3.0\r\n\r\n", b"\0" * 100),
        *(
            b"get / HTTP/1.1\r\n\r\n",
            b"EHLO x\r\n",
            b"\x16\x03\x01\x02",
        ),
        *(b"GET http://[ HTTP/1.1\r\n\r\n", b"GET /\xff\xfe HTTP/1.1\r\n\r\n", b"{}\r\n\r\n"),
        *(
            b"GET / HTTP/1.1\r\nA\r\n\r\n",
            b"GET / HTTP/1.1\r\n: b\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"CONNECT x:25 HTTP/1.1\r\n\r\n",
        ),
    ],
    ids=ascii,
)
async def test_what_is_no_request_is_told_so(
    port: int, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    received = await said(port, request_bytes)
    assert statuses(received) == [400]
    assert is_problem(received)
    assert not [r for r in caplog.records if r.name.startswith(("asyncmail", "uvicorn.error"))]


@pytest.mark.bad_input("large heads")
@pytest.mark.parametrize(
    "head",
    [
        b"X-A: " + b"a" * 100_000 + b"\r\n",
        b"X-A: " + b"a" * 20_000_000,
        b"".join(b"X-%d: a\r\n" % n for n in range(1000)),
        b"X-A: a\r\n" * 500_000,
    ],
    ids=["long", "endless", "many", "endlessly many"],
)
async def test_a_head_has_bounds(port: int, head: bytes) -> None:
    received = await said(port, STATUS[:-2] + head + b"\r\n")
    assert statuses(received) in ([431], [])  # reset while it still sends
    if received:
        assert is_problem(received)


async def test_a_large_body_is_no_large_head(api: Harness, port: int) -> None:
    body = json.dumps({"messages": [message("large", body="x" * 900_000)]}).encode()
    async with peer(port) as client:
        for end in (b"", STATUS[:-4]):
            client.send(POST + b"Content-Length: %d\r\n\r\n" % len(body))
            for start in range(0, len(body), 200_000):
                await asyncio.sleep(0.01)
                client.send(body[start : start + 200_000])
            client.send(end)
            assert statuses(await client.reply()) == [200]
        client.send(STATUS[-4:])
        assert statuses(await client.reply()) == [200]


@pytest.mark.bad_input("large heads")
async def test_a_path_has_bounds(port: int) -> None:
    assert statuses(await said(port, STATUS.replace(b"/status", b"/" + b"x" * 70_000))) == [431]


@pytest.mark.bad_input("something like HTTP")
async def test_an_offer_of_another_protocol_is_declined_by_an_answer(
    api: Harness, port: int
) -> None:
    for offer in (b"h2c", b"websocket"):
        upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\n" % offer
        async with peer(port) as client:
            client.send(STATUS[:-2] + upgrade + b"\r\n")
            assert statuses(await client.reply()) == [200]
    async with peer(port) as client:  # as Java's client does with each POST
        client.send(POST + upgrade + LENGTH + b"\r\n" + BODY)
        assert statuses(await client.reply()) == [200]
    assert api.store.pending() == 1


@pytest.mark.bad_input("something like HTTP")
async def test_answers_come_in_order_also_before_something_odd(port: int) -> None:
    received = await said(port, STATUS * 3 + b"nonsense\r\n\r\n")
    assert statuses(received) == [200, 200, 200]
