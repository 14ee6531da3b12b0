"""How the service ends: in time, with what is past its dot, and with nothing uncertain."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest
from slow_server import slow_server

from asyncmail.testing import FaultSMTP
from asyncmail.testing.real_service import RealService, mail

GRACE = 3.0
MARGIN = 2.0  # seconds beside the grace (G22)


@pytest.fixture
def service(service: RealService) -> RealService:
    service.config["server"]["shutdown_grace_seconds"] = GRACE
    return service


async def sigterm(service: RealService) -> float:
    """How long it took to end with 0."""
    began = time.monotonic()
    service.signal(signal.SIGTERM)
    assert await service.ended() == 0
    return time.monotonic() - began


async def test_an_idle_service_ends_at_once(service: RealService) -> None:
    await service.start()
    assert await sigterm(service) < MARGIN
    assert not (service.folder / "asyncmail.db-wal").exists()


async def test_under_load_it_ends_in_time_and_the_next_one_goes_on(service: RealService) -> None:
    async with FaultSMTP() as smtp:
        await service.start()
        await service.account(smtp.port)
        await service.hand_in(mail(f"m{number}") for number in range(1000))
        await smtp.wait_for(lambda: len(smtp.accepted) >= 10)
        assert await sigterm(service) < GRACE + MARGIN
        taken = len(smtp.accepted)
        assert taken < 1000
        await service.start()
        await smtp.wait_for(lambda: len(smtp.accepted) >= 1000, timeout=30)
        await service.in_state("sent", 1000)
        assert set(smtp.copies.values()) == {1}


async def test_the_reply_to_a_dot_is_awaited_and_nothing_is_uncertain(
    service: RealService,
) -> None:
    async with slow_server(GRACE / 3) as smtp:
        await service.start()
        await service.account(smtp.port)
        await service.hand_in([mail("m1")])
        await smtp.wait_for(lambda: smtp.dots_pending == 1)
        seconds = await sigterm(service)
        assert GRACE / 6 < seconds < GRACE + MARGIN
        assert smtp.unanswered == []
        await service.start()
        record = await service.get("/messages/m1")
    assert record["status"] == "sent"
    assert [attempt["uncertain"] for attempt in record["attempts"]] == [False]


async def test_a_dot_that_nobody_answers_is_uncertain_once_the_grace_is_over(
    service: RealService,
) -> None:
    service.config["server"]["shutdown_grace_seconds"] = 0.5
    async with slow_server(60) as smtp:
        await service.start()
        await service.account(smtp.port)
        await service.hand_in([mail("m1", on_uncertain="hold")])
        await smtp.wait_for(lambda: smtp.dots_pending == 1)
        assert await sigterm(service) < 0.5 + MARGIN
        await service.start()
        record = await service.get("/messages/m1")
    assert record["status"] == "error"
    assert record["error"].startswith("delivery uncertain")


async def test_new_work_is_refused_while_it_ends(service: RealService) -> None:
    async with slow_server(GRACE / 2) as smtp:
        await service.start()
        await service.account(smtp.port)
        await service.hand_in([mail("m1")])
        await smtp.wait_for(lambda: smtp.dots_pending == 1)
        service.signal(signal.SIGTERM)
        await service.draining()
        answer = await service.api.post("/commands/add-messages", json={"messages": [mail("m2")]})
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert await service.ended() == 0


@pytest.mark.fault("process.slow_client_at_stop")
async def test_a_client_that_never_finishes_its_request_does_not_hold_up_the_end(
    service: RealService,
) -> None:
    await service.start()
    _, slow = await asyncio.open_connection(service.api.base_url.host, service.api.base_url.port)
    try:
        slow.write(
            b"POST /commands/add-messages HTTP/1.1\r\nHost: localhost\r\n"
            b'Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"messages": ['
        )
        await slow.drain()
        await service.get("/status")  # by now the other request has been read, too
        assert await sigterm(service) < MARGIN
    finally:
        slow.close()


async def test_a_second_signal_ends_it_like_a_crash(service: RealService) -> None:
    async with slow_server(60) as smtp:
        await service.start()
        await service.account(smtp.port)
        await service.hand_in([mail("m1")])
        await smtp.wait_for(lambda: smtp.dots_pending == 1)
        service.signal(signal.SIGTERM)
        await service.draining()
        began = time.monotonic()
        service.signal(signal.SIGTERM)
        assert await service.ended() != 0
        assert time.monotonic() - began < 1
