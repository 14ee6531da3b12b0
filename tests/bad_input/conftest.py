"""A bench for bad input: the whole application, and a mail server that would notice.

One application serves a file of tests, as it would a day of clients; each test leaves it empty.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from bad_bench import API_TOKEN, PASSWORD, Bench

from asyncmail.config import ServerSettings
from asyncmail.testing import FaultSMTP
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.running import RunningService, StartService


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def smtp() -> AsyncIterator[FaultSMTP]:
    async with FaultSMTP() as server:
        yield server


@pytest.fixture(scope="module")
async def application(
    tmp_path_factory: pytest.TempPathFactory, smtp: FaultSMTP
) -> AsyncIterator[RunningService]:
    """With the account ``shop``, and one whose password must come out nowhere."""
    start = StartService(tmp_path_factory.mktemp("service"), ManualClock(), smtp.port)
    server = ServerSettings(api_token=API_TOKEN, max_body_bytes=4_000_000)
    async with start(start.settings().model_copy(update={"server": server})) as service:
        service.client.headers["X-API-Token"] = API_TOKEN
        await service.account()
        await service.account("vault", user="shop", password=PASSWORD)
        yield service


@pytest.fixture
async def bench(application: RunningService, smtp: FaultSMTP) -> AsyncIterator[Bench]:
    bench = Bench(application, smtp)
    yield bench
    await bench.empty()
