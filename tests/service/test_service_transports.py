"""Transports that misbehave: no accepted message is lost and no outcome is invented."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncmail.config import PluginsSettings
from asyncmail.testing.running import RunningService, StartService, mail

SOURCE = '''
import asyncio
from asyncmail import Offer, Transport, hookimpl
from asyncmail.model import Delivery, Disposition, RecipientOutcome

class Odd(Transport):
    """Does as the first recipient says, the first time; delivers afterwards."""
    gate = asyncio.Event()
    waiting = asyncio.Semaphore(0)
    odd = set()
    asked = []

    async def send(self, envelope, account, attempt):
        self.asked.append(envelope.recipients)
        what = envelope.recipients[0].partition("@")[0]
        if envelope.message_id not in self.odd:
            self.odd.add(envelope.message_id)
            if what == "early":
                raise RuntimeError("before the dot")
            if what == "none":
                return None
            if what == "stranger":
                return Delivery.of_all(["somebody@else.example"], Disposition.ACCEPTED)
            if what == "waits":
                self.waiting.release()
                await self.gate.wait()
            attempt.begin()
            await attempt.before_dot()
            if what == "choosy":
                ok, no = Disposition.ACCEPTED, Disposition.PERMANENT
                first, *rest = envelope.recipients
                return Delivery(
                    (RecipientOutcome(first, ok), *(RecipientOutcome(r, no) for r in rest))
                )
            if what == "late":
                raise RuntimeError("after the dot")
            if what == "late-none":
                return None
        else:
            attempt.begin()
            await attempt.before_dot()
        return Delivery.of_all(envelope.recipients, Disposition.ACCEPTED, "ok")

class Mute(Transport):
    """Never announces the dot."""
    async def send(self, envelope, account, attempt):
        raise RuntimeError("who knows")

@hookimpl
def asyncmail_transports():
    return [Offer("odd", lambda s, c: Odd()), Offer("mute", lambda s, c: Mute())]
'''


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The package ``odd``, installed; gives its module."""
    site = tmp_path / "site"
    info = site / "odd-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "odd_transport.py").write_text(SOURCE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[asyncmail.v1]\nodd = odd_transport\n")
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    yield importlib.import_module("odd_transport")
    del sys.modules["odd_transport"]


@pytest.fixture
async def app(odd: Any, start: StartService) -> Any:
    settings = start.settings()
    plugins = PluginsSettings(transports=("odd", "mute"))
    async with start(settings.model_copy(update={"plugins": plugins})) as running:
        await running.account(transport="odd")
        await running.account("quiet", transport="mute")
        await running.hand_in(mail("warm-up"))  # it is seen to announce the dot
        await running.dispatch()
        yield running


@pytest.mark.parametrize("what", ["early", "none", "stranger"])
async def test_before_the_dot_a_failure_is_retried_and_is_not_uncertain(
    app: RunningService, what: str
) -> None:
    await app.hand_in(mail(to=f"{what}@customer.example"))
    await app.dispatch()
    record = await app.show("m1")
    assert record["status"] == "deferred"
    assert not record["attempts"][0]["uncertain"]
    app.clock.advance(120)
    await app.dispatch()
    assert await app.status("m1") == "sent"


@pytest.mark.parametrize("what", ["late", "late-none"])
async def test_after_the_dot_a_failure_is_uncertain(app: RunningService, what: str) -> None:
    await app.hand_in(mail(to=f"{what}@customer.example"))
    await app.dispatch()
    record = await app.show("m1")
    assert record["attempts"][0]["uncertain"]
    assert record["status"] == "deferred"


async def test_failures_of_a_transport_that_never_announces_the_dot_are_all_uncertain(
    app: RunningService,
) -> None:
    await app.hand_in(mail(account_id="quiet"))
    await app.dispatch()
    assert (await app.show("m1"))["attempts"][0]["uncertain"]


async def test_suspend_takes_back_what_has_not_begun(app: RunningService, odd: Any) -> None:
    await app.hand_in(*(mail(f"m{n}", to="waits@customer.example") for n in range(3)))
    dispatch = asyncio.create_task(app.dispatch())
    for _ in range(3):
        await odd.Odd.waiting.acquire()
    assert await app.status("m0") == "sending"
    await app.post("/commands/suspend")
    await dispatch
    records = [await app.show(f"m{n}") for n in range(3)]
    assert {record["status"] for record in records} == {"queued"}
    assert [record["attempts"] for record in records] == [[], [], []], (
        "as if it had not been claimed"
    )


async def test_a_transport_that_hangs_is_cancelled_and_its_message_tried_again(
    app: RunningService, odd: Any
) -> None:
    await app.hand_in(mail(to="waits@customer.example"))
    dispatch = asyncio.create_task(app.dispatch())
    await odd.Odd.waiting.acquire()
    app.clock.advance(661)
    await dispatch
    record = await app.show("m1")
    assert record["status"] == "queued", "it had not begun: the account waits, nothing is charged"
    assert "did not answer within 660 s" in record["error"]
    app.clock.advance(10)
    await app.dispatch()
    assert await app.status("m1") == "sent"


async def test_a_new_generation_for_those_who_have_it_already_asks_no_transport(
    app: RunningService, odd: Any
) -> None:
    has, refused = "choosy@customer.example", "other@customer.example"
    await app.hand_in(mail(to=[has, refused]))
    await app.dispatch()
    assert await app.status("m1") == "error"
    await app.hand_in(mail(to=has))
    await app.dispatch()
    assert await app.status("m1") == "sent"
    assert odd.Odd.asked[-1] == (has, refused)


async def test_an_account_whose_transport_is_gone_waits_and_the_service_starts(
    app: RunningService, start: StartService
) -> None:
    await app.hand_in(mail())
    # The same queue under a configuration without the transport.
    await app.service.stop()
    await app.service.store.close()
    async with start() as later:
        await later.dispatch()
        assert await later.status("m1") == "queued"
        account = (await later.client.get("/accounts")).json()["accounts"][-1]
        assert account["last_error"] == "transport 'odd' is not available"
