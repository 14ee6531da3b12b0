"""Observers are told everything after its commit, and whatever they do, nobody waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from service_plugins import Install

from asyncmail.config import PluginsSettings
from asyncmail.model import Event, EventKind
from asyncmail.scheduler import observers
from asyncmail.testing import FaultSMTP, Profile, ReportReceiver
from asyncmail.testing.running import RunningService, StartService, mail

PATIENCE = 5.0  # real seconds

SOURCE = '''
import asyncio
from asyncmail import Observer, Offer, hookimpl

class Diary(Observer):
    """Writes everything down."""
    events = []
    life = []
    written = asyncio.Condition()

    async def start(self):
        self.life.append("start")

    async def stop(self):
        self.life.append("stop")

    async def notice(self, event):
        async with self.written:
            self.events.append(event)
            self.written.notify_all()

class Wall(Observer):
    """Never comes back from the first event."""
    called = asyncio.Event()
    events = []

    async def notice(self, event):
        self.events.append(event)
        if len(self.events) == 1:
            self.called.set()
            await asyncio.Event().wait()

class Grumbler(Observer):
    """Fails with every event, having seen it, until it is well."""
    events = []
    well = False

    async def notice(self, event):
        self.events.append(event)
        if not self.well:
            raise RuntimeError("not again")

@hookimpl
def asyncmail_observers():
    return [
        Offer("diary", lambda s, c: Diary()), Offer("wall", lambda s, c: Wall()),
        Offer("grumbler", lambda s, c: Grumbler()),
    ]
'''


@pytest.fixture
def package(install: Install) -> Any:
    return install("diaries", SOURCE)


@pytest.fixture
def start_with(package: Any, start: StartService) -> Callable[..., Any]:
    def begin(*names: str, **delivery: Any) -> Any:
        settings = start.settings(**delivery)
        return start(settings.model_copy(update={"plugins": PluginsSettings(observers=names)}))

    return begin


@pytest.fixture
async def app(start_with: Callable[..., Any]) -> AsyncIterator[RunningService]:
    async with start_with("diary") as running:
        await running.account()
        yield running


async def noted(package: Any, count: int) -> list[Event]:
    """The first ``count`` events, as soon as they are there."""
    diary = package.Diary
    async with asyncio.timeout(PATIENCE), diary.written:
        await diary.written.wait_for(lambda: len(diary.events) >= count)
    assert len(diary.events) == count
    return list(diary.events)


async def test_a_message_is_followed_from_its_acceptance_to_its_deletion(
    app: RunningService, package: Any, receiver: ReportReceiver
) -> None:
    await app.hand_in(mail(priority="high"))
    (event,) = await noted(package, 1)
    now = app.clock.wall()
    assert event == Event(EventKind.ACCEPTED, now, "default", "m1", "shop", priority=1)
    await app.dispatch()
    *_, event = await noted(package, 2)
    assert (event.kind, event.id, event.generation) == (EventKind.SENT, "m1", 1)
    assert [outcome.recipient for outcome in event.recipients] == ["m1@customer.example"]
    await app.post("/commands/run-now")
    await receiver.wait_for(lambda: len(receiver.acknowledged) == 1)
    *_, event = await noted(package, 3)
    assert (event.kind, event.id, event.sink) == (EventKind.REPORTED, "m1", "genropy")
    app.clock.advance(604_801)
    assert (await app.post("/commands/cleanup-messages", {}))["removed"] == 1
    *_, event = await noted(package, 4)
    assert event == Event(EventKind.RETIRED, app.clock.wall(), "default", "m1", "shop")


async def test_events_come_in_the_order_of_the_commits(app: RunningService, package: Any) -> None:
    names = [f"m{n}" for n in range(5)]
    for name in names:
        await app.hand_in(mail(name))
    await app.dispatch()
    events = await noted(package, 10)
    assert [event.kind for event in events] == 5 * [EventKind.ACCEPTED] + 5 * [EventKind.SENT]
    assert [event.id for event in events[:5]] == names
    history = [(await app.show(event.id or ""))["sent_ts"] for event in events[5:]]
    assert history == sorted(history)


async def test_only_what_is_kept_is_an_event(app: RunningService, package: Any) -> None:
    answer = await app.hand_in(mail(), mail("bad", to="no address"), mail("other"))
    assert answer["queued"] == 2
    await app.hand_in(mail())  # a duplicate
    await app.hand_in(mail("last"))
    assert [event.id for event in await noted(package, 3)] == ["m1", "other", "last"]


async def test_deferred_and_failed_messages_tell_why(app: RunningService, package: Any) -> None:
    await app.hand_in(mail(to="m1+rcpt.451@fault.example"))
    await app.dispatch()
    *_, event = await noted(package, 2)
    assert event.kind is EventKind.DEFERRED
    assert event.error is not None
    assert "451" in event.error
    await app.hand_in(mail("m2", to="m2+rcpt.550@fault.example"))
    await app.dispatch()
    *_, event = await noted(package, 4)
    assert event.kind is EventKind.FAILED
    assert event.error is not None
    assert "550" in event.error
    await app.hand_in(mail("m3", to="m3+dot.drop.once@fault.example"))
    await app.dispatch()
    *_, event = await noted(package, 6)
    assert (event.kind, event.uncertain) == (EventKind.DEFERRED, True)


async def test_an_account_breaks_once_and_recovers_once(
    app: RunningService, package: Any, smtp: FaultSMTP
) -> None:
    await app.account("gone", port=1)
    await app.hand_in(mail(account_id="gone"))
    await app.dispatch()
    _, broken, deferred = await noted(package, 3)
    assert broken.kind is EventKind.ACCOUNT_BROKEN
    assert (broken.account_id, broken.id) == ("gone", None)
    assert broken.error
    assert deferred.kind is EventKind.DEFERRED
    app.clock.advance(10)
    await app.dispatch()
    *_, event = await noted(package, 4)
    assert event.kind is EventKind.DEFERRED, "still broken is no news"
    await app.account("gone")  # now with the right port
    *_, event = await noted(package, 5)
    assert (event.kind, event.account_id) == (EventKind.ACCOUNT_RECOVERED, "gone")


async def test_a_probe_that_succeeds_recovers_the_account(
    app: RunningService, package: Any, smtp: FaultSMTP
) -> None:
    smtp.profile = Profile(script="greeting.554")
    await app.hand_in(mail())
    await app.dispatch()
    await noted(package, 3)
    smtp.profile = Profile()
    app.clock.advance(10)
    await app.dispatch()
    recovered, sent = (await noted(package, 5))[3:]
    assert (recovered.kind, recovered.account_id) == (EventKind.ACCOUNT_RECOVERED, "shop")
    assert (sent.kind, sent.id) == (EventKind.SENT, "m1")


async def test_suspending_and_activating_are_events(app: RunningService, package: Any) -> None:
    await app.post("/commands/suspend")
    await app.post("/commands/activate")
    kinds = [event.kind for event in await noted(package, 2)]
    assert kinds == [EventKind.SUSPENDED, EventKind.ACTIVATED]


async def test_secrets_in_the_words_of_a_server_are_masked(
    app: RunningService, package: Any, smtp: FaultSMTP
) -> None:
    smtp.profile = Profile(raw={"leak": b"550 5.7.1 not for hunter2!\r\n"})
    await app.account("other", user="other", password="hunter2!")
    await app.hand_in(mail(to="m1+rcpt.raw-leak@fault.example"))
    await app.dispatch()
    *_, event = await noted(package, 2)
    assert event.kind is EventKind.FAILED
    assert "not for ***" in (event.error or "")
    assert "hunter2!" not in repr(event)


async def test_an_observer_that_hangs_delays_nothing_and_loses_only_that_event(
    start_with: Callable[..., Any], package: Any, smtp: FaultSMTP
) -> None:
    async with start_with("wall", "diary") as app:
        await app.account()
        await app.hand_in(mail())
        async with asyncio.timeout(PATIENCE):
            await package.Wall.called.wait()
            await app.hand_in(mail("m2"))
            await app.dispatch()
        assert len(smtp.accepted) == 2
        await noted(package, 4)
        assert len(package.Wall.events) == 1
        app.clock.advance(1.0)  # its deadline
        wall = package.Wall
        async with asyncio.timeout(PATIENCE):
            while len(wall.events) < 4:  # noqa: ASYNC110 - it has no event to wait for
                await asyncio.sleep(0.01)
        assert [event.id for event in wall.events[:2]] == ["m1", "m2"]
        assert await app.metric('asyncmail_plugin_errors_total{kind="observer",plugin="wall"}') == 1


async def test_an_observer_that_always_fails_is_quarantined_and_harms_nobody(
    start_with: Callable[..., Any],
    package: Any,
    smtp: FaultSMTP,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(observers, "QUARANTINE_LOOK", 0.01)
    async with start_with("grumbler", "diary") as app:
        await app.account()
        await app.hand_in(*(mail(f"m{n}") for n in range(20)))
        await app.dispatch()
        await noted(package, 40)
        up = 'asyncmail_plugin_up{kind="observer",plugin="grumbler"}'
        assert await app.metric(up) == 0
        grumbler = package.Grumbler
        assert len(grumbler.events) == 5
        assert len(smtp.accepted) == 20
        grumbler.well = True
        app.clock.advance(30)  # the probe is due
        async with asyncio.timeout(PATIENCE):
            while len(grumbler.events) < 40:  # noqa: ASYNC110 - it has no event to wait for
                await asyncio.sleep(0.01)
        assert grumbler.events == package.Diary.events, "what came meanwhile has waited"
        assert await app.metric(up) == 1


async def test_too_many_waiting_events_drop_the_oldest_and_are_counted(
    start_with: Callable[..., Any],
    package: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    limited = observers.ObserverLane.__init__.__kwdefaults__
    monkeypatch.setitem(limited, "capacity", 3)
    async with start_with("wall") as app:
        await app.account()
        dropped = 'asyncmail_observer_dropped_total{observer="wall"}'
        assert await app.metric(dropped) == 0
        await app.hand_in(mail("m0"))
        async with asyncio.timeout(PATIENCE):
            await package.Wall.called.wait()
        await app.hand_in(*(mail(f"m{n}") for n in range(1, 8)))
        assert await app.metric(dropped) == 4
        app.clock.advance(1.0)
        async with asyncio.timeout(PATIENCE):
            while len(package.Wall.events) < 4:  # noqa: ASYNC110 - it has no event to wait for
                await asyncio.sleep(0.01)
        assert [event.id for event in package.Wall.events] == ["m0", "m5", "m6", "m7"]
    complaints = [r for r in caplog.records if "does not keep up" in r.getMessage()]
    assert len(complaints) == 1


async def test_what_is_queued_at_the_stop_is_still_told(
    start_with: Callable[..., Any], package: Any
) -> None:
    async with start_with("diary") as app:
        await app.account()
        await app.hand_in(*(mail(f"m{n}") for n in range(500)))
    assert len(package.Diary.events) == 500
    assert package.Diary.life == ["start", "stop"]


async def test_an_observer_that_hangs_does_not_hold_up_the_stop(
    start_with: Callable[..., Any], package: Any
) -> None:
    async with start_with("wall") as app:
        await app.account()
        await app.hand_in(mail(), mail("m2"))
        async with asyncio.timeout(PATIENCE):
            await package.Wall.called.wait()
            await app.service.stop()
        assert await app.metric('asyncmail_observer_dropped_total{observer="wall"}') == 1


async def test_without_observers_no_event_is_made(
    start: StartService, monkeypatch: pytest.MonkeyPatch, receiver: ReportReceiver
) -> None:
    def never(*args: object, **more: object) -> None:
        raise AssertionError("an event was made for nobody")

    monkeypatch.setattr("asyncmail.scheduler.events.Event", never)
    async with start() as app:
        await app.account()
        await app.hand_in(mail())
        await app.dispatch()
        await app.post("/commands/suspend")
        await app.post("/commands/run-now")
        await receiver.wait_for(lambda: len(receiver.acknowledged) == 1)
        assert await app.status("m1") == "sent"
