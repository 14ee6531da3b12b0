"""The fixtures that plugin authors get: real parts that work together."""

from __future__ import annotations

import httpx

from asyncmail.store.base import Store
from asyncmail.testing import FaultSMTP, ManualClock, ReportReceiver
from asyncmail.testing.running import RunningService, StartService, mail


async def test_the_service_sends_and_reports(
    service: RunningService, smtp_server: FaultSMTP, report_server: ReportReceiver
) -> None:
    await service.hand_in(mail("m1"))
    await service.run_now()
    await report_server.wait_for(lambda: "m1" in report_server.by_id)
    assert [copy.recipients for copy in smtp_server.accepted] == [("m1@customer.example",)]
    assert report_server.by_id["m1"][0]["sent_ts"] == int(service.clock.wall())


async def test_the_service_tells_time_by_the_clock_of_the_test(
    service: RunningService, clock: ManualClock
) -> None:
    await service.hand_in(mail("m1", deferred_ts=int(clock.wall()) + 3600))
    assert await service.dispatch() == 0
    clock.advance(3600)
    assert await service.dispatch() == 1
    assert await service.status("m1") == "sent"


async def test_the_client_talks_to_the_service(client: httpx.AsyncClient) -> None:
    accounts = (await client.get("/accounts")).json()["accounts"]
    assert [account["id"] for account in accounts] == ["shop"]


async def test_the_store_is_a_real_one(store: Store) -> None:
    assert store.health().ok
    assert await store.ready_lanes() == frozenset()


async def test_a_service_can_be_stopped_and_the_next_one_started(
    start_service: StartService,
) -> None:
    async with start_service() as first:
        await first.account()
        await first.hand_in(mail("m1"))
    async with start_service() as second:
        assert await second.dispatch() == 1
        assert await second.status("m1") == "sent"
