"""Memory of the real process: idle, with a long queue, and while somebody reads the whole list."""

from __future__ import annotations

import json

from asyncmail.testing.real_service import RealService, mail

QUEUED = 100_000
BATCH = 1000
MIB = 1 << 20


async def test_memory_stays_small_whatever_the_queue(service: RealService) -> None:
    await service.start()
    await service.account(smtp_port=9)
    await service.post("/commands/suspend")
    idle = service.resident()
    assert idle <= 120 * MIB

    for start in range(0, QUEUED, BATCH):
        answer = await service.hand_in(mail(f"m{start + n}") for n in range(BATCH))
        assert answer["queued"] == BATCH
    full = service.resident()
    assert full <= idle + 40 * MIB

    seen, cursor, highest = 0, None, 0
    while seen == 0 or cursor:
        page = json.loads(await _page(service, cursor))
        seen, cursor = seen + len(page["messages"]), page.get("next_cursor")
        highest = max(highest, service.resident())
    assert seen == QUEUED
    assert highest <= full + 20 * MIB


async def _page(service: RealService, cursor: str | None) -> bytes:
    response = await service.api.get("/messages", params={"cursor": cursor} if cursor else {})
    assert response.status_code == 200
    return response.content
