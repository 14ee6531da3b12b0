"""A service that is short of something: descriptors, memory, time on the processor."""

from __future__ import annotations

import asyncio
import base64
import resource
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from programs import require_program

from asyncmail.testing import FaultSMTP, ReportReceiver
from asyncmail.testing.real_service import ASYNCMAIL, RealService, id_of, mail, until

DESCRIPTORS = 64
CLIENTS = 80
MIB = 1 << 20


def address_space(service: RealService) -> int:
    """Bytes of it that the process has in use."""
    pages = int(Path(f"/proc/{service.pid}/statm").read_text().split()[0])
    return pages * resource.getpagesize()


@pytest.mark.fault("process.no_descriptors")
async def test_idle_clients_that_take_all_connections_hold_up_neither_mail_nor_reports(
    service: RealService, publish: Callable[..., None]
) -> None:
    prlimit = require_program("prlimit", "util-linux")
    service.program = (prlimit, f"--nofile={DESCRIPTORS}:{DESCRIPTORS}", *ASYNCMAIL)
    async with AsyncExitStack() as stack, FaultSMTP() as smtp, ReportReceiver() as receiver:
        service.config["client"] = {"proxy_sync_url": receiver.url}
        await service.start()
        await service.account(smtp.port)
        await service.post("/commands/suspend")
        await service.hand_in(mail(f"m{number}") for number in range(200))
        host, port = service.api.base_url.host, service.api.base_url.port
        clients = []
        for _ in range(CLIENTS):
            _, writer = await asyncio.open_connection(host, port)
            stack.callback(writer.close)
            clients.append(writer)

        await service.post("/commands/activate")
        began = time.monotonic()
        await smtp.wait_for(lambda: len(smtp.accepted) == 200, timeout=20)
        await receiver.wait_for(lambda: len(receiver.by_id) == 200, timeout=20)
        seconds = time.monotonic() - began
        assert set(smtp.copies.values()) == {1}
        history = [await service.get(f"/messages/m{number}") for number in range(200)]
        assert {len(message["attempts"]) for message in history} == {1}, "no connection failed"

        for writer in clients:
            writer.close()
        left = time.monotonic()
        async with httpx.AsyncClient(base_url=service.url, trust_env=False) as fresh:
            answers = await asyncio.gather(*(fresh.get("/readyz") for _ in range(10)))
        assert {answer.status_code for answer in answers} == {200}
        assert time.monotonic() - left < 2
    publish(
        f"{CLIENTS} idle clients, {DESCRIPTORS} descriptors",
        messages=200,
        sent_and_reported_after=f"{seconds:.1f} s",
    )


@pytest.mark.fault("process.no_memory")
async def test_a_message_for_which_there_is_no_memory_ends_nothing_and_leaves_when_there_is(
    service: RealService,
) -> None:
    content = base64.b64encode(bytes(14 * MIB)).decode()
    large = {"filename": "large.bin", "storage_path": f"base64:{content}"}
    async with FaultSMTP() as smtp:
        service.config["delivery"]["retry_delays"] = [5]
        await service.start()
        await service.account(smtp.port)
        await service.hand_in([mail("first")])
        await service.in_state("sent", 1)
        await service.post("/commands/suspend")
        await service.hand_in([mail("large", attachments=[large])])
        limit = address_space(service) + 8 * MIB
        _, hard = resource.prlimit(service.pid, resource.RLIMIT_AS)
        resource.prlimit(service.pid, resource.RLIMIT_AS, (limit, hard))
        await service.post("/commands/activate")
        assert (await service.hand_in(mail(f"m{number}") for number in range(50)))["queued"] == 50

        async def is_short_of_memory() -> bool:
            return "MemoryError" in "".join(service.log)

        await until(is_short_of_memory)
        assert (await service.get("/health"))["status"] == "ok"
        resource.prlimit(service.pid, resource.RLIMIT_AS, (hard, hard))
        await smtp.wait_for(lambda: len(smtp.accepted) == 52, timeout=30)

        async def is_recorded() -> bool:
            return bool((await service.get("/messages/large"))["sent_ts"])

        await until(is_recorded)
        assert set(smtp.copies.values()) == {1}


@pytest.mark.fault("process.stopped")
async def test_a_service_that_was_stopped_for_long_goes_on_and_explains_second_copies(
    service: RealService,
) -> None:
    hasty = dict.fromkeys(("connect", "command", "data", "block", "dot"), 1.0)
    async with FaultSMTP() as smtp, ReportReceiver() as receiver:
        service.config["client"] = {"proxy_sync_url": receiver.url, "sync_timeout_seconds": 1}
        await service.start()
        await service.account(smtp.port, timeouts=hasty)
        ids = [f"m{number}" for number in range(200)]
        await service.hand_in(mail(id, f"{id}+dot.accept.sleep50@fault.test") for id in ids)
        await smtp.wait_for(lambda: len(smtp.accepted) >= 20)
        service.signal(signal.SIGSTOP)
        await asyncio.sleep(3)  # longer than any of its timeouts
        service.signal(signal.SIGCONT)
        await receiver.wait_for(lambda: len(receiver.by_id) == len(ids), timeout=30)
        assert all(entry["sent_ts"] for entry in receiver.reports)
        copies: dict[str, int] = {}
        for copy in smtp.accepted:
            id = id_of(copy.message_id)
            copies[id] = copies.get(id, 0) + 1
        assert copies.keys() == set(ids)
        for id, count in copies.items():
            if count > 1:
                attempts = (await service.get(f"/messages/{id}"))["attempts"]
                assert count <= 1 + sum(attempt["uncertain"] for attempt in attempts), id
