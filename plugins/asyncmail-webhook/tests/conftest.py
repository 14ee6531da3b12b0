"""What the tests share: a receiver on loopback, and the sink that posts to it."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from asyncmail_webhook import WebhookSettings, WebhookSink
from webhook_receiver import SECRET, WebhookReceiver, served

from asyncmail import Transport
from asyncmail.model import Report
from asyncmail.testing import ManualClock

Make = Callable[..., Any]


class LoneContext:
    """What a service lends its extensions, for one that stands alone. Its time is today's: receivers
    refuse webhooks that are minutes old."""

    def __init__(self) -> None:
        self.clock = ManualClock(time.time())
        self.logger = logging.getLogger("asyncmail.plugin.webhook")

    def transport(self, name: str) -> Transport:
        raise LookupError(name)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def context() -> LoneContext:
    return LoneContext()


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    made = WebhookReceiver()
    async with served(made.app) as address:
        made.url = f"{address}/hooks/mail"
        yield made
        await made.release()


@pytest.fixture
async def sink(receiver: WebhookReceiver, context: LoneContext) -> AsyncIterator[Make]:
    """Makes started sinks; arguments are settings."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> WebhookSink:
            settings = {"url": receiver.url, "secret": SECRET, **settings}
            made = WebhookSink(WebhookSettings(**settings), context)
            stack.push_async_callback(made.stop)
            await made.start()
            return made

        yield make


@pytest.fixture
def report(context: LoneContext) -> Make:
    """Makes reports: of a sent message unless told otherwise."""
    now = int(context.clock.wall())

    def make(id: str = "m1", **more: Any) -> Report:
        facts = {"sent_ts": now, "error_ts": None, "error": None, "deferred_ts": None, **more}
        return Report(1, facts.pop("tenant_id", "default"), id, "shop", 2, **facts)

    return make
