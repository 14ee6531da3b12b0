"""A disk without room, and files that may not grow: nothing is lost, and it goes on by itself (G24)."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from smalldisk import SmallDisk, small_disk

from asyncmail.testing import FaultSMTP, ReportReceiver
from asyncmail.testing.real_service import RealService, id_of, mail, until

MIB = 1 << 20
SIZE = 24 * MIB
BALLAST = 4 * MIB
SLOTS = 5
LONG = "Thank you.\n" * 20_000


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[SmallDisk]:
    async with small_disk(tmp_path / "disk", SIZE) as disk:
        yield disk


@pytest.fixture
async def stored(service: RealService, disk: SmallDisk) -> RealService:
    """A service whose database is on the small disk, with ``SLOTS`` connections at most."""
    service.program = disk.program(service.folder)
    service.config["storage"] = {
        "url": f"sqlite:///{disk.path}/queue.db",
        "min_free_bytes": 0,
        "ballast_bytes": BALLAST,
    }
    service.config["delivery"]["max_connections"] = SLOTS + 1  # one is kept for ``immediate``
    return service


async def is_ready(service: RealService) -> bool:
    return (await service.api.get("/readyz")).status_code == 200


async def refuses(service: RealService, id: str) -> str:
    """Why new mail is refused, for which it has to be, and readiness says the same."""
    answer = await service.api.post(
        "/commands/add-messages", json={"messages": [mail(id, body=LONG)]}
    )
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    ready = await service.api.get("/readyz")
    assert ready.status_code == 503
    reason: str = ready.json()["detail"]
    return reason


def slow(id: str) -> dict[str, object]:
    return mail(id, f"{id}+dot.accept.sleep1500@fault.test")


@pytest.mark.fault("disk.full")
async def test_on_a_full_disk_results_are_recorded_and_reported_and_no_dot_begins(
    stored: RealService, disk: SmallDisk, publish: Callable[..., None]
) -> None:
    async with FaultSMTP() as smtp, ReportReceiver() as receiver:
        stored.config["client"] = {"proxy_sync_url": receiver.url}
        await stored.start()
        await stored.account(smtp.port)
        ids = [f"m{number}" for number in range(4 * SLOTS)]
        await stored.hand_in(slow(id) for id in ids)
        await smtp.wait_for(lambda: smtp.dots_pending == SLOTS)
        disk.fill()

        async def ballast_is_given_up() -> bool:
            return "queue.db.ballast" not in disk.names()

        await until(ballast_is_given_up)
        reason = await refuses(stored, "refused")
        assert "queue.db.ballast" in reason
        await smtp.wait_for(lambda: smtp.dots_pending == 0)
        taken = {id_of(copy.message_id) for copy in smtp.accepted}
        assert SLOTS <= len(taken) < len(ids)

        async def taken_is_acknowledged() -> bool:
            reports = [(await stored.get(f"/messages/{id}"))["reports"] for id in taken]
            return all(r and all(one["acknowledged_ts"] for one in r) for r in reports)

        await until(taken_is_acknowledged)
        assert disk.free < BALLAST
        await refuses(stored, "refused")
        await asyncio.sleep(1)  # for dots that must not begin
        assert len(smtp.accepted) == len(taken)

        disk.clear()
        await stored.in_state("sent", len(ids))
        assert set(smtp.copies.values()) == {1}
        await until(lambda: is_ready(stored))
        assert "queue.db.ballast" in disk.names()
        assert (await stored.hand_in([mail("refused")]))["queued"] == 1
        await stored.in_state("sent", len(ids) + 1)
    publish(
        "The disk is full while mail is on its way", messages=len(ids), lost=0, copies_too_many=0
    )


@pytest.mark.fault("disk.low")
async def test_below_the_low_water_mark_nothing_is_accepted_and_no_dot_begins(
    stored: RealService, disk: SmallDisk
) -> None:
    stored.config["storage"]["min_free_bytes"] = 8 * MIB
    async with FaultSMTP() as smtp:
        await stored.start()
        await stored.account(smtp.port)
        ids = [f"m{number}" for number in range(4 * SLOTS)]
        await stored.hand_in(slow(id) for id in ids)
        await smtp.wait_for(lambda: smtp.dots_pending == SLOTS)
        disk.fill(leave=6 * MIB)

        async def is_noticed() -> bool:
            return not await is_ready(stored)

        await until(is_noticed)
        assert f"{8 * MIB} required" in await refuses(stored, "refused")
        await smtp.wait_for(lambda: smtp.dots_pending == 0)
        taken = len(smtp.accepted)
        assert taken < len(ids)
        await stored.in_state("sent", taken)
        await asyncio.sleep(1)  # for dots that must not begin
        assert len(smtp.accepted) == taken
        assert "queue.db.ballast" in disk.names(), "there is room without it"

        disk.clear()
        await stored.in_state("sent", len(ids))
        assert set(smtp.copies.values()) == {1}


@pytest.mark.fault("disk.full")
async def test_a_start_and_a_stop_on_a_full_disk_keep_what_is_queued(
    stored: RealService, disk: SmallDisk
) -> None:
    async with FaultSMTP() as smtp:
        await stored.start()
        await stored.account(smtp.port)
        await stored.post("/commands/suspend")
        await stored.hand_in(mail(f"m{number}") for number in range(20))
        await stored.kill()
        disk.fill()
        await stored.start()
        await stored.post("/commands/activate")
        await refuses(stored, "refused")
        assert smtp.accepted == []
        disk.fill()
        stored.signal(signal.SIGTERM)
        assert await stored.ended() == 0
        await stored.start()
        await refuses(stored, "refused")
        disk.clear()
        await stored.in_state("sent", 20)
        assert set(smtp.copies.values()) == {1}


@pytest.mark.fault("disk.file_too_large")
async def test_files_that_may_not_grow_lose_nothing_and_it_goes_on_when_they_may(
    service: RealService,
) -> None:
    service.config["storage"]["ballast_bytes"] = BALLAST
    async with FaultSMTP() as smtp:
        await service.start()
        await service.account(smtp.port)
        await service.hand_in(slow(f"m{number}") for number in range(SLOTS))
        await smtp.wait_for(lambda: smtp.dots_pending == SLOTS)
        _, hard = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
        log = service.folder / "asyncmail.db-wal"
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (log.stat().st_size, hard))
        assert "disk I/O error" in await refuses(service, "refused")
        await smtp.wait_for(lambda: smtp.dots_pending == 0)
        assert len((await service.get("/messages", status="sending"))["messages"]) == SLOTS
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (hard, hard))
        await service.in_state("sent", SLOTS)
        await until(lambda: is_ready(service))
        assert (await service.hand_in([mail("refused")]))["queued"] == 1
        await service.in_state("sent", SLOTS + 1)
        assert set(smtp.copies.values()) == {1}
