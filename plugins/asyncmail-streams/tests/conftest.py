"""What the tests share: a running broker of each kind, and sinks that publish to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest
from brokers import broker
from receivers import RECEIVERS, BrokerReceiver

from asyncmail import Sink
from asyncmail.testing import LoneContext, make_extension

pytest_plugins = ["asyncmail.testing.fixtures"]


@pytest.fixture(scope="session")
def broker_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], int]]:
    """The port of a broker by its name; started at most once."""
    with ExitStack() as stack:
        ports: dict[str, int] = {}

        def port(name: str) -> int:
            if name not in ports:
                ports[name] = stack.enter_context(broker(name, tmp_path_factory.mktemp(name)))
            return ports[name]

        yield port


@pytest.fixture(params=RECEIVERS)
def broker_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def receiver(
    broker_name: str, broker_port: Callable[[str], int]
) -> AsyncIterator[BrokerReceiver]:
    async with RECEIVERS[broker_name].running(broker_port(broker_name)) as made:
        yield made


@pytest.fixture
async def sink(receiver: BrokerReceiver, broker_name: str) -> AsyncIterator[Callable[..., Any]]:
    """Makes started sinks that publish to the receiver; arguments are settings."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> Sink:
            context = LoneContext(name=broker_name)
            made = make_extension(Sink, broker_name, receiver.settings | settings, context)
            stack.push_async_callback(made.stop)
            await made.start()
            return made

        yield make
