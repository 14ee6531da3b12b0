"""What the guard tells of plugins: who blocks the service, who is up, and the trace of all calls."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from service_plugins import Install

from asyncmail import __version__
from asyncmail.config import PluginsSettings, load_settings
from asyncmail.testing.running import StartService, mail

PATIENCE = 5.0  # real seconds

SOURCE = '''
import time
from asyncmail import (
    AttachmentSource, Filter, Observer, Offer, Retention, Transport, Validator, hookimpl,
)
from asyncmail.model import Attachment, Delivery, Disposition

class Sleeper(Validator):
    """Blocks the event loop with one message."""
    began = 0.0
    async def validate(self, message, account):
        if message.subject == "sleep":
            Sleeper.began = time.monotonic()
            time.sleep(0.8)

class Stamp(Filter):
    async def apply(self, data, message, account):
        return data

class Post(Transport):
    odd = True
    async def send(self, envelope, account, attempt):
        attempt.begin()
        await attempt.before_dot()
        return None if self.odd else Delivery.of_all(envelope.recipients, Disposition.ACCEPTED, "ok")

class Braggart(Post):
    def connections(self):
        return {"busy": "plenty"}

class Keep(Retention):
    def cutoff(self, now, account_id):
        raise RuntimeError("no calendar")

class Source(AttachmentSource):
    def handles(self, reference):
        return reference.storage_path.startswith("odd:")
    async def fetch(self, reference, message):
        return "not an attachment"

class Watcher(Observer):
    async def notice(self, event):
        raise RuntimeError("blind")

@hookimpl
def asyncmail_validators():
    return [Offer("sleeper", lambda s, c: Sleeper())]
@hookimpl
def asyncmail_filters():
    return [Offer("stamp", lambda s, c: Stamp())]
@hookimpl
def asyncmail_transports():
    return [Offer("post", lambda s, c: Post()), Offer("braggart", lambda s, c: Braggart())]
@hookimpl
def asyncmail_retention():
    return [Offer("keep", lambda s, c: Keep())]
@hookimpl
def asyncmail_attachments():
    return [Offer("source", lambda s, c: Source())]
@hookimpl
def asyncmail_observers():
    return [Offer("watcher", lambda s, c: Watcher())]
'''

ALL = PluginsSettings(
    validators=("sleeper",),
    filters=("stamp",),
    transports=("smtp", "post"),
    retention=("keep",),
    attachments=("source",),
    observers=("watcher",),
)


@pytest.fixture
def package(install: Install) -> Any:
    return install("kinds", SOURCE)


def said(caplog: pytest.LogCaptureFixture, words: str) -> list[Any]:
    return [record for record in caplog.records if words in record.getMessage()]


async def test_a_plugin_that_blocks_the_service_is_named_in_the_log_while_it_does(
    package: Any, start: StartService, caplog: pytest.LogCaptureFixture
) -> None:
    settings = start.settings().model_copy(
        update={"plugins": PluginsSettings(validators=("sleeper",))}
    )
    async with start(settings) as app:
        await app.account()
        to_wall = time.time() - time.monotonic()
        await app.hand_in(mail(subject="sleep"))
        ended = time.time()
        errors = 'asyncmail_plugin_errors_total{kind="validator",plugin="sleeper"}'
        async with asyncio.timeout(PATIENCE):
            while await app.metric(errors) < 1:  # noqa: ASYNC110 - a metric has no event
                await asyncio.sleep(0.01)
        assert await app.metric("asyncmail_loop_lag_seconds") > 0.5
    (record,) = said(caplog, "is blocked for more than 0.5 s")
    assert "by validator 'sleeper' (kinds 1.0)" in record.getMessage()
    assert "time.sleep(0.8)" in record.getMessage(), "the stack shows the line"
    assert record.created < ended
    assert record.created - (package.Sleeper.began + to_wall) < 1.0


async def test_every_kind_is_up_until_it_fails_and_its_failures_are_counted(
    package: Any, start: StartService
) -> None:
    settings = start.settings().model_copy(update={"plugins": ALL})
    async with start(settings) as app:
        for name, kind in {
            "sleeper": "validator",
            "stamp": "filter",
            "smtp": "transport",
            "post": "transport",
            "keep": "retention",
            "source": "attachment",
            "watcher": "observer",
            "genropy": "sink",
        }.items():
            labels = f'{{kind="{kind}",plugin="{name}"}}'
            assert await app.metric(f"asyncmail_plugin_up{labels}") == 1
            assert await app.metric(f"asyncmail_plugin_errors_total{labels}") >= 0

        await app.account()
        await app.account("posted", transport="post")
        odd = {"storage_path": "odd:a", "filename": "a"}
        await app.hand_in(mail(attachments=[odd]), mail("m2", account_id="posted"))
        await app.dispatch()
        assert "not str" in (await app.show("m1"))["error"]
        assert "answered nonsense" in (await app.show("m2"))["error"]
        await app.post("/commands/cleanup-messages", {})
        for name, kind in {
            "post": "transport",
            "keep": "retention",
            "source": "attachment",
            "watcher": "observer",
        }.items():
            labels = f'{{kind="{kind}",plugin="{name}"}}'
            assert await app.metric(f"asyncmail_plugin_errors_total{labels}") >= 1


async def test_a_transports_nonsense_about_its_connections_leaves_those_of_others(
    package: Any, start: StartService
) -> None:
    plugins = PluginsSettings(transports=("braggart", "smtp"))
    settings = start.settings().model_copy(update={"plugins": plugins})
    async with start(settings) as app:
        await app.account()
        await app.hand_in(mail())
        await app.dispatch()
        assert await app.metric('asyncmail_smtp_connections{state="idle"}') == 1


async def test_the_trace_shows_the_calls_of_one_message(
    package: Any, start: StartService, caplog: pytest.LogCaptureFixture
) -> None:
    plugins = ALL.model_copy(update={"trace": True, "observers": ()})
    settings = start.settings().model_copy(update={"plugins": plugins})
    async with start(settings) as app:
        await app.account()
        caplog.clear()
        await app.hand_in(mail())
        await app.dispatch()
    lines = [r.getMessage() for r in caplog.records if r.name == "asyncmail.trace"]
    calls = [line.partition(": ")[0] for line in lines]
    assert calls[:3] == [
        "validator 'sleeper' (kinds 1.0) validate()",
        "filter 'stamp' (kinds 1.0) apply()",
        f"transport 'smtp' (asyncmail {__version__}) send()",
    ]
    assert "Hello." not in "".join(lines), "never the content of a message"


async def test_without_the_switch_there_is_no_trace(
    start: StartService, caplog: pytest.LogCaptureFixture
) -> None:
    async with start() as app:
        await app.account()
        await app.hand_in(mail())
        await app.dispatch()
    assert not [r for r in caplog.records if r.name == "asyncmail.trace"]


def test_the_trace_is_switched_on_by_the_environment() -> None:
    assert not load_settings(environ={}).plugins.trace
    assert load_settings(environ={"ASYNCMAIL_PLUGINS__TRACE": "true"}).plugins.trace
