"""Filters between building and sending: their bytes are sent, or the message is tried again later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from service_plugins import Install

from asyncmail.config import PluginsSettings
from asyncmail.plugins.circuit import MAX_FAILURES, PROBE_AFTER
from asyncmail.plugins.guard import FILTER_DEADLINE
from asyncmail.testing import FaultSMTP
from asyncmail.testing.running import RunningService, StartService, mail

SOURCE = '''
import asyncio
from asyncmail import Filter, Offer, PluginSettings, hookimpl

class Settings(PluginSettings):
    word: str = "one"

class Stamp(Filter):
    """Adds a header that says who asked for what."""
    def __init__(self, settings):
        self.word = settings.word

    async def apply(self, data, message, account):
        return f"X-Stamp: {self.word} {message.id} {account.id}\\r\\n".encode() + data

class Odd(Filter):
    """Does as the subject says."""
    waiting = asyncio.Semaphore(0)

    async def apply(self, data, message, account):
        match message.subject:
            case "raises":
                raise RuntimeError("no ink")
            case "none":
                return None
            case "text":
                return data.decode()
            case "empty":
                return b""
            case "large":
                return data + b"x\\r\\n" * 400_000
            case "bare":
                return data + b"a\\nb\\r\\n"
            case "long":
                return data + b"x" * 2000 + b"\\r\\n"
            case "hangs":
                self.waiting.release()
                await asyncio.Event().wait()
        return data

@hookimpl
def asyncmail_filters():
    return [
        Offer("one", lambda s, c: Stamp(s), Settings), Offer("two", lambda s, c: Stamp(s), Settings),
        Offer("odd", lambda s, c: Odd()),
    ]
'''


@pytest.fixture
def package(install: Install) -> Any:
    return install("stamps", SOURCE)


@pytest.fixture
async def app(package: Any, start: StartService) -> AsyncIterator[RunningService]:
    settings = start.settings(max_message_bytes=1_000_000, concurrency=1)
    tables = {"two": {"word": "second"}}
    plugins = PluginsSettings(filters=("two", "odd", "one"), tables=tables)
    async with start(settings.model_copy(update={"plugins": plugins})) as running:
        await running.account()
        yield running


async def test_what_the_filters_return_in_their_order_reaches_the_server(
    app: RunningService, smtp: FaultSMTP
) -> None:
    await app.hand_in(mail())
    await app.dispatch()
    (copy,) = smtp.accepted
    assert copy.data.startswith(b"X-Stamp: one m1 shop\r\nX-Stamp: second m1 shop\r\n")
    assert await app.status("m1") == "sent"


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("raises", "RuntimeError: no ink"),
        ("none", "bytes, not NoneType"),
        ("text", "bytes, not str"),
        ("empty", "no bytes"),
        ("large", "1000000 are allowed"),
        ("bare", "bare CR or LF"),
        ("long", "998 octets"),
    ],
)
async def test_a_filter_that_fails_or_answers_nonsense_defers_the_message(
    app: RunningService, smtp: FaultSMTP, subject: str, words: str
) -> None:
    await app.hand_in(mail(subject=subject), mail("m2"))
    await app.dispatch()
    record = await app.show("m1")
    assert record["status"] == "deferred"
    assert record["error"].startswith("filter 'odd' (stamps 1.0) failed: ")
    assert words in record["error"]
    assert record["message"]["retry_count"] == 1, "the attempt is charged"
    assert not record["attempts"][0]["uncertain"]
    assert [copy.recipients for copy in smtp.accepted] == [("m2@customer.example",)]
    assert await app.metric('asyncmail_plugin_errors_total{kind="filter",plugin="odd"}') == 1


async def test_a_filter_that_hangs_defers_the_message_and_gives_the_rate_limits_unit_back(
    app: RunningService, package: Any, smtp: FaultSMTP
) -> None:
    await app.account(limit_per_hour=1)
    await app.hand_in(mail(subject="hangs"), mail("m2"))
    dispatch = asyncio.create_task(app.dispatch())
    await package.Odd.waiting.acquire()
    app.clock.advance(FILTER_DEADLINE)
    await dispatch
    record = await app.show("m1")
    assert record["status"] == "deferred"
    assert record["error"] == "filter 'odd' (stamps 1.0) did not answer within 10 s"
    await app.dispatch()
    assert await app.status("m2") == "sent"


async def test_a_filter_in_quarantine_defers_and_is_never_left_out(
    app: RunningService, smtp: FaultSMTP
) -> None:
    up = 'asyncmail_plugin_up{kind="filter",plugin="odd"}'
    assert await app.metric(up) == 1
    await app.hand_in(*(mail(f"bad{n}", subject="raises") for n in range(MAX_FAILURES)))
    await app.dispatch()
    assert await app.metric(up) == 0
    await app.hand_in(mail())
    await app.dispatch()
    record = await app.show("m1")
    assert record["status"] == "deferred"
    assert "quarantined" in record["error"]
    assert not smtp.accepted
    app.clock.advance(PROBE_AFTER)
    await app.hand_in(mail("m2", priority="immediate"))
    await app.dispatch()
    assert await app.status("m2") == "sent"
    assert await app.metric(up) == 1
