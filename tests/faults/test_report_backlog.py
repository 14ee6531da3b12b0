"""A receiver of reports was down for a week: 100,000 results are kept, and go fast, in little memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncmail.model import Account
from asyncmail.store.base import Lane, NewMessage, Pick, Result
from asyncmail.store.keys import KeyRing
from asyncmail.store.sqlite import SQLiteStore
from asyncmail.testing import ManualClock, ReportReceiver
from asyncmail.testing.real_service import RealService

RESULTS = 100_000
BATCH = 1000
WEEK = 7 * 86_400
PER_SECOND = 2000
MIB = 1 << 20


async def results_of_last_week(folder: Path) -> None:
    """A queue whose messages were all sent eight days ago, none of them reported."""
    clock = ManualClock(time.time() - WEEK - 86_400)
    keys = KeyRing.load(folder / "asyncmail.key")
    store = SQLiteStore(folder / "asyncmail.db", clock=clock, keys=keys, min_free_bytes=0)
    await store.open()
    await store.put_account(Account("shop", host="127.0.0.1", port=9), keep_password=False)
    await store.activate_sinks(["genropy"])
    now = int(clock.wall())
    pick = Pick(Lane("default", "shop"), (2,), BATCH)
    for start in range(0, RESULTS, BATCH):
        names = [f"m{number}" for number in range(start, start + BATCH)]
        await store.add([NewMessage("default", n, "shop", 2, now, payload="{}") for n in names])
        claims = (await store.claim([pick], max_bytes=1 << 30)).claims
        await store.record([Result(c.key, c.token, c.lane, sent_ts=now) for c in claims])
    await store.close()


@pytest.mark.fault("sink.down_for_a_week")
async def test_a_hundred_thousand_results_wait_for_their_receiver_and_then_go_fast(
    service: RealService, publish: Callable[..., None]
) -> None:
    await results_of_last_week(service.folder)
    async with ReportReceiver() as receiver:
        pass
    service.config["client"] = {"proxy_sync_url": receiver.url}
    await service.start()
    idle = service.resident()
    deleted = await service.post("/commands/cleanup-messages", {"older_than_seconds": 0})
    assert deleted["removed"] == 0, "nothing goes before its result is acknowledged"

    highest = idle

    async def watch() -> None:
        nonlocal highest
        while True:
            highest = max(highest, service.resident())
            await asyncio.sleep(0.05)

    async with ReportReceiver(port=receiver.port) as receiver:
        watching = asyncio.create_task(watch())
        began = time.monotonic()
        await service.post("/commands/run-now")
        await receiver.wait_for(lambda: len(receiver.acknowledged) >= RESULTS, timeout=300)
        seconds = time.monotonic() - began
        watching.cancel()
        assert {report["id"] for report in receiver.acknowledged} == {
            f"m{number}" for number in range(RESULTS)
        }
        assert len(receiver.reports) == RESULTS, "none twice"
    assert RESULTS / seconds >= PER_SECOND
    assert highest <= idle + 40 * MIB
    publish(
        "A receiver of reports was down for a week, with 100,000 results waiting, and came back",
        lost=0,
        reported_per_second=round(RESULTS / seconds),
        memory_above_idle_MiB=round((highest - idle) / MIB),
    )
