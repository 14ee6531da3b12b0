"""Memory over a long run: what goes through leaves nothing behind (G30)."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest
from mail_servers import smtp_sink

from asyncmail.testing import ReportReceiver
from asyncmail.testing.real_service import RealService, mail

EARLY, LATE = 5_000, 50_000
BATCH = 1_000
GROWTH = 1.2
MIB = 1 << 20


@pytest.mark.xdist_group("long run")
@pytest.mark.fault("process.long_run")
async def test_memory_after_fifty_thousand_messages_is_that_after_five_thousand(
    service: RealService, publish: Callable[..., None]
) -> None:
    async with smtp_sink() as port, ReportReceiver() as receiver:
        service.config["client"] = {"proxy_sync_url": receiver.url}
        await service.start()
        await service.account(port)
        began = time.monotonic()
        memory = []

        def all_acknowledged(count: int) -> bool:
            return len(receiver.acknowledged) >= count

        for start in range(0, LATE, BATCH):
            batch = range(start, start + BATCH)
            assert (await service.hand_in(mail(f"m{n}") for n in batch))["queued"] == BATCH
            if batch.stop % EARLY == 0:
                await receiver.wait_for(partial(all_acknowledged, batch.stop), timeout=60)
                memory.append(service.resident())
        early, late = memory[0], memory[-1]
        assert len(receiver.acknowledged) == LATE
        assert late <= early * GROWTH, [f"{size / MIB:.0f} MiB" for size in memory]
        seconds = time.monotonic() - began
    publish(
        "Memory over a long run",
        messages=LATE,
        after_5000=f"{early / MIB:.0f} MiB",
        after_50000=f"{late / MIB:.0f} MiB",
        seconds=round(seconds),
    )
