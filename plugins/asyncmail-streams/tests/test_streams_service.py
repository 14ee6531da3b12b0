"""The whole service with each sink: a result is acknowledged once the broker has it, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from brokers import Fate
from receivers import BrokerReceiver

from asyncmail.testing.running import RunningService, mail


@pytest.fixture
def service_plugins(receiver: BrokerReceiver, broker_name: str) -> Mapping[str, Any]:
    return {"sinks": [broker_name], broker_name: receiver.settings}


async def reported(service: RunningService, id: str) -> bool:
    return (await service.show(id))["reported_ts"] is not None


async def test_a_result_is_acknowledged_once_the_broker_has_it(
    service: RunningService, receiver: BrokerReceiver
) -> None:
    receiver.relay.fate = Fate.CUT_BEFORE
    await service.hand_in(mail("m1"))
    await service.dispatch()
    await service.run_now()
    async with asyncio.timeout(10):
        await receiver.relay.struck.wait()
    assert not await reported(service, "m1")
    assert await receiver.confirmed() == []

    receiver.relay.fate = Fate.ARRIVES
    async with asyncio.timeout(10):
        while not await reported(service, "m1"):
            await service.run_now()
            await asyncio.sleep(0.05)
    assert await receiver.confirmed() == ["m1"]
