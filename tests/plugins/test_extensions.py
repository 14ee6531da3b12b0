"""Extensions in use: transports that hand over to each other, start and stop."""

from __future__ import annotations

import logging
import sys

import pytest
from guard_bench import Bench
from plugin_site import Site, use

from asyncmail.errors import PluginError
from asyncmail.plugins.manager import Kind
from asyncmail.testing.clock import ManualClock

# --- transports that hand over -------------------------------------------------------------------


RELAYS = """
class Relay(Post):
    def __init__(self, context, to, at_once):
        self.context, self.to = context, to
        if at_once:
            self.next()
    def next(self):
        return self.context.transport(self.to)

class Settings(PluginSettings):
    to: str
    at_once: bool = False

@hookimpl
def asyncmail_transports():
    def make(settings, context):
        return Relay(context, settings.to, settings.at_once)
    return [
        Offer("one", make, Settings), Offer("two", make, Settings),
        Offer("end", lambda settings, context: Post()),
    ]
"""


@pytest.mark.parametrize("at_once", [True, False])
def test_a_transport_finds_another_whatever_their_order(site: Site, at_once: bool) -> None:
    site.install("relays", RELAYS)
    tables = {"one": {"to": "two", "at_once": at_once}, "two": {"to": "end", "at_once": at_once}}
    chosen = {Kind.TRANSPORT: ("one", "end", "two")}
    transports = site.manager().build(chosen, tables, ManualClock()).transports
    assert list(transports) == ["one", "end", "two"]
    one = transports["one"].extension
    assert one.next() is transports["two"].extension  # type: ignore[attr-defined]
    assert one.next().next() is transports["end"].extension  # type: ignore[attr-defined]


@pytest.mark.parametrize("to", ["one", "two"])
def test_transports_in_a_circle_are_refused(site: Site, to: str) -> None:
    site.install("relays", RELAYS)
    tables = {"one": {"to": to, "at_once": True}, "two": {"to": "one", "at_once": True}}
    with pytest.raises(PluginError, match=r"circle: .*one -> "):
        use(site.manager(), Kind.TRANSPORT, "one", "two", **tables)


def test_a_circle_closed_later_is_refused_too(site: Site) -> None:
    site.install("relays", RELAYS)
    tables = {"one": {"to": "two"}, "two": {"to": "one"}}
    chosen = {Kind.TRANSPORT: ("one", "two")}
    transports = site.manager().build(chosen, tables, ManualClock()).transports
    two = transports["one"].extension.next()  # type: ignore[attr-defined]
    with pytest.raises(PluginError, match="circle: two -> one -> two"):
        two.next()


def test_a_transport_that_is_not_configured_cannot_be_reached(site: Site) -> None:
    site.install("relays", RELAYS)
    with pytest.raises(PluginError, match="transport 'one' asks for transport 'end'"):
        use(site.manager(), Kind.TRANSPORT, "one", one={"to": "end", "at_once": True})


# --- start and stop ------------------------------------------------------------------------------


LIFE = """
class Sulk(Ear):
    async def stop(self):
        LOG.append("stop " + self.name)
        raise SystemExit(1)

@hookimpl
def asyncmail_sinks():
    return [
        Offer("good", lambda s, c: Ear("good")),
        Offer("sulking", lambda s, c: Sulk("sulking")),
        Offer("broken", lambda s, c: Ear("broken", broken=True)),
        Offer("last", lambda s, c: Ear("last")),
    ]
"""


async def test_all_are_started_in_order_and_stopped_in_reverse_whatever_happens(
    site: Site, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    site.install("life", LIFE)
    chosen = {Kind.SINK: ("good", "sulking", "last")}
    extensions = site.manager().build(chosen, {}, ManualClock())
    log = sys.modules["life"].LOG
    with caplog.at_level(logging.WARNING):
        async with extensions.running(bench.guard):
            assert log == ["start good", "start sulking", "start last"]
            log.clear()
    assert log == ["stop last", "stop sulking", "stop good"]
    assert "sink 'sulking' (life 1.2) was not stopped properly" in caplog.text


async def test_a_failed_start_is_named_and_stops_those_before_it(site: Site, bench: Bench) -> None:
    site.install("life", LIFE)
    bench.secrets.register("hunter2!")
    chosen = {Kind.SINK: ("good", "broken", "last")}
    extensions = site.manager().build(chosen, {}, ManualClock())
    with pytest.raises(PluginError) as caught:
        async with extensions.running(bench.guard):
            raise AssertionError("never reached")
    words = "sink 'broken' (life 1.2) could not be started: OSError: no line to ***"
    assert str(caught.value) == words
    log = sys.modules["life"].LOG
    assert log == ["start good", "start broken", "stop broken", "stop good"]
