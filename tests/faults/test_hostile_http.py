"""Hostile clients of the real service: whatever they do, others are answered and mail goes out."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from asyncmail.testing.real_service import RealService, helper, mail, until

TOKEN = "a-token-c0ffee"
MIB = 2**20
PATIENCE = 30.0
ANSWER_SECONDS = 1.0  # for a status while something hostile happens

Publish = Callable[..., None]


@pytest.fixture
async def running(service: RealService) -> AsyncIterator[RealService]:
    """With a token, an account, and a mail server as a process of its own."""
    service.config["server"]["api_token"] = TOKEN
    async with helper("asyncmail.testing.faultsmtp") as smtp_port:
        await service.start()
        service.api.headers["X-API-Token"] = TOKEN
        await service.account(smtp_port)
        yield service


async def answer_times(service: RealService, over: asyncio.Event) -> list[float]:
    """Ask for the status again and again until ``over``; how long each answer took."""
    times: list[float] = []
    while not over.is_set():
        started = time.monotonic()
        assert (await service.api.get("/status")).status_code == 200
        times.append(time.monotonic() - started)
        await asyncio.sleep(0.01)
    return times


@asynccontextmanager
async def answered_meanwhile(service: RealService) -> AsyncIterator[list[float]]:
    """The service answers others inside the block; the times of its answers, behind it."""
    over, times = asyncio.Event(), list[float]()
    asking = asyncio.create_task(answer_times(service, over))
    try:
        yield times
    finally:
        over.set()
        times += await asking
    assert times
    assert max(times) < ANSWER_SECONDS


async def mail_flows(service: RealService, id: str) -> None:
    assert (await service.hand_in([mail(id)]))["queued"] == 1

    async def sent() -> bool:
        return bool((await service.get(f"/messages/{id}"))["status"] == "sent")

    await until(sent)


def descriptors(service: RealService) -> int:
    return len(list(Path(f"/proc/{service.pid}/fd").iterdir()))


def address(service: RealService) -> tuple[str, int]:
    url = httpx.URL(service.url)
    return url.host, url.port or 80


def post(body: bytes, *more: str) -> bytes:
    head = ["POST /commands/add-messages HTTP/1.1", "Host: x", f"X-API-Token: {TOKEN}", *more]
    return ("\r\n".join(head) + "\r\n\r\n").encode() + body


async def raw(service: RealService, *pieces: bytes) -> bytes:
    """The reply to a request that is written whole, whatever the service thinks of it meanwhile."""
    reader, writer = await asyncio.open_connection(*address(service))
    try:
        async with asyncio.timeout(PATIENCE):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split()[0])
            return head + await reader.readexactly(length)
    finally:
        writer.close()


@pytest.mark.bad_input("empty objects")
async def test_300000_empty_objects_are_refused_in_a_second_and_hold_up_nobody(
    running: RealService, publish: Publish
) -> None:
    body = b'{"messages":[' + b"{}," * 299_999 + b"{}]}"
    async with answered_meanwhile(running) as times:
        started = time.monotonic()
        reply = await running.api.post("/commands/add-messages", content=body)
        seconds = time.monotonic() - started
    assert reply.status_code == 422
    assert seconds < 1
    assert len(reply.content) < 65_536
    publish(
        "300,000 empty objects in one request",
        refused_after=f"{seconds:.2f} s",
        reply=f"{len(reply.content)} bytes",
        others_answered_within=f"{max(times) * 1000:.0f} ms",
    )


@pytest.mark.bad_input("bodies over the limit")
async def test_no_body_whatever_it_says_of_itself_fills_the_memory(
    running: RealService, publish: Publish
) -> None:
    await raw(running, post(b"{}", "Content-Length: 2"))
    before = running.resident()
    spaces = b" " * MIB
    chunk = b"100000\r\n" + spaces + b"\r\n"
    bomb = gzip.compress(b" " * 100 * MIB)
    async with answered_meanwhile(running):
        replies = await asyncio.gather(
            raw(running, post(b"", f"Content-Length: {100 * MIB}"), *[spaces] * 100),
            raw(running, post(b"", "Transfer-Encoding: chunked"), *[chunk] * 100),
            raw(running, post(bomb, f"Content-Length: {len(bomb)}", "Content-Encoding: gzip")),
            raw(running, post(bomb, f"Content-Length: {len(bomb)}", "Content-Encoding: deflate")),
            raw(running, post(b"", f"Content-Length: {10**20}")),
            raw(running, post(b"[" * MIB * 8, f"Content-Length: {MIB * 8}")),
        )
    words = [reply.split(b" ", 2)[1:2] for reply in replies]
    assert words[:2] == [[b"413"], [b"413"]]
    assert words[2:4] == [[b"415"], [b"415"]]
    assert words[4] in ([b"413"], [b"400"])
    assert words[5] == [b"400"]
    assert max(len(reply) for reply in replies) < 65_536
    grown = running.resident() - before
    assert grown < 128 * MIB
    await mail_flows(running, "after")
    publish("Bodies without end, false lengths, gzip bombs", memory=f"+{grown // MIB} MiB")


@pytest.mark.bad_input("many connections")
@pytest.mark.bad_input("slow heads")
async def test_two_thousand_slow_clients_hold_up_neither_requests_nor_mail(
    running: RealService, publish: Publish
) -> None:
    slow: list[socket.socket] = []
    try:
        async with answered_meanwhile(running) as times:
            for number in range(2000):
                client = socket.create_connection(address(running))
                client.send(b"POST /commands/add-messages HTTP/1.1\r\nX-A: "[: number % 40])
                slow.append(client)
                if number % 20 == 0:
                    await asyncio.sleep(0)
            await mail_flows(running, "meanwhile")
        held = descriptors(running)
        assert held < 1100
    finally:
        for client in slow:
            client.close()
    publish(
        "2,000 clients that begin a request and never end it",
        descriptors=held,
        others_answered_within=f"{max(times) * 1000:.0f} ms",
    )


@pytest.mark.bad_input("slow bodies")
async def test_slow_bodies_hold_up_neither_requests_nor_mail(running: RealService) -> None:
    slow = []
    try:
        for _ in range(300):
            client = socket.create_connection(address(running))
            client.send(post(b'{"messages":[', "Content-Length: 1000"))
            slow.append(client)
        async with answered_meanwhile(running):
            await mail_flows(running, "meanwhile")
    finally:
        for client in slow:
            client.close()
    assert len((await running.get("/messages"))["messages"]) == 1


@pytest.mark.bad_input("many wrong tokens")
async def test_requests_without_a_token_cost_little_and_mail_flows(
    running: RealService, publish: Publish
) -> None:
    request = b"GET /messages HTTP/1.1\r\nHost: x\r\nX-API-Token: wrong\r\n\r\n"
    count, rounds = 20, 100
    lines = len(running.log)
    before = cpu_seconds(running.pid)
    started = time.monotonic()

    async def hammer() -> None:
        reader, writer = await asyncio.open_connection(*address(running))
        for _ in range(rounds):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 401")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split()[0]))
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(hammer())
        await mail_flows(running, "meanwhile")
    seconds = time.monotonic() - started
    each = (cpu_seconds(running.pid) - before) / (count * rounds)
    assert each < 0.001
    assert len(running.log) == lines
    publish(
        "Requests with a wrong token",
        a_second=round(count * rounds / seconds),
        cpu_of_each=f"{each * 1000:.2f} ms",
    )


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.bad_input("one id twice")
async def test_of_fifty_connections_with_one_id_one_queues_it(running: RealService) -> None:
    await running.post("/commands/suspend")
    async with httpx.AsyncClient(
        base_url=running.url, headers={"X-API-Token": TOKEN}, timeout=PATIENCE, trust_env=False
    ) as client:
        replies = await asyncio.gather(
            *(
                client.post("/commands/add-messages", json={"messages": [mail("one")]})
                for _ in range(50)
            )
        )
    answers = [reply.json() for reply in replies]
    assert sum(answer["queued"] for answer in answers) == 1
    reasons = [entry["reason"] for answer in answers for entry in answer["rejected"]]
    assert reasons == ["duplicate id: already queued"] * 49


@pytest.mark.bad_input("bcc")
async def test_the_log_shows_no_payload_even_at_debug(service: RealService) -> None:
    service.config["logging"] = {"level": "DEBUG"}
    async with helper("asyncmail.testing.faultsmtp") as smtp_port:
        await service.start()
        await service.account(smtp_port, password="canary-password", user="u")
        canary = {"bcc": ["canary@hidden.example"], "body": "canary-body", "subject": "canary-s"}
        await service.hand_in([mail("m1", **canary)])
        await service.get("/messages/m1")
        await service.kill()
    assert len(service.log) > 1
    assert "canary" not in "".join(service.log)
    assert "aiosqlite" not in "".join(service.log)  # it would show statements with their values


@pytest.mark.bad_input("many at once")
async def test_a_batch_of_the_largest_size_holds_up_nobody(
    running: RealService, publish: Publish
) -> None:
    batch = [mail(f"n{n}", body="x" * 2048) for n in range(1000)]
    body = json.dumps({"messages": batch}).encode()
    await running.post("/commands/suspend")
    async with answered_meanwhile(running) as times:
        reply = await running.api.post("/commands/add-messages", content=body)
    assert reply.json()["queued"] == 1000
    publish(
        "1,000 messages of 2 KB in one request",
        others_answered_within=f"{max(times) * 1000:.0f} ms",
    )
