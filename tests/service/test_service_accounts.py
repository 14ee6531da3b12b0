"""Accounts: breakers, limits, deletion, suspension - and that nobody's trouble is anybody else's."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from asyncmail.config import SchedulerSettings
from asyncmail.testing import FaultSMTP, Profile, ReportReceiver
from asyncmail.testing.running import RunningService, StartService, mail


@pytest.mark.fault("smtp.wrong_password")
async def test_a_wrong_password_makes_mail_wait_and_fails_none_of_it(
    start: StartService, smtp: FaultSMTP
) -> None:
    async with FaultSMTP(auth=("shop", "right")) as locked, start() as app:
        await app.account(port=locked.port, user="shop", password="wrong")
        await app.hand_in(*(mail(f"m{n}") for n in range(50)))
        await app.dispatch()
        statuses = {await app.status(f"m{n}") for n in range(50)}
        assert statuses == {"queued"}
        account = (await app.client.get("/accounts")).json()["accounts"][0]
        assert account["state"] == "broken"
        assert "535" in account["last_error"]
        assert "wrong" not in account["last_error"]

        await app.account(port=locked.port, user="shop", password="right")
        await app.dispatch()
        assert {await app.status(f"m{n}") for n in range(50)} == {"sent"}
        assert len(locked.accepted) == 50


@pytest.mark.fault("smtp.unreachable")
async def test_a_smarthost_that_is_down_overnight_fails_nothing(start: StartService) -> None:
    async with FaultSMTP() as server:
        port = server.port
    async with start() as app:
        await app.account(port=port)
        await app.hand_in(mail())
        for _ in range(8):
            await app.dispatch()
            app.clock.advance(3600)
        record = await app.show("m1")
        assert record["status"] == "queued"
        assert record["message"]["retry_count"] == 0
        async with FaultSMTP(port=port) as back:
            await app.dispatch()
            assert len(back.accepted) == 1


async def test_mail_that_waited_for_too_long_is_reported_with_the_reason(
    start: StartService, receiver: ReportReceiver
) -> None:
    async with start() as app:
        await app.account(port=1)
        await app.hand_in(mail())
        await app.dispatch()
        app.clock.advance(5 * 86400 + 1)
        await app.post("/commands/run-now")
        await receiver.wait_for(lambda: bool(receiver.acknowledged))
        assert "given up after 5 days" in receiver.acknowledged[0]["error"]


async def test_one_accounts_trouble_is_not_anothers(app: RunningService, smtp: FaultSMTP) -> None:
    await app.account("broken", port=1)
    await app.hand_in(*(mail(f"b{n}", account_id="broken") for n in range(300)), mail("good"))
    await app.dispatch()
    assert await app.status("good") == "sent"


async def test_over_the_limit_the_next_message_is_deferred_and_nobody_is_overtaken(
    app: RunningService, smtp: FaultSMTP
) -> None:
    await app.account(limit_per_minute=5, limit_per_day=50)
    await app.hand_in(*(mail(f"m{n}") for n in range(12)))
    await app.dispatch()
    assert len(smtp.accepted) == 5
    assert await app.metric('asyncmail_rate_limited_total{account_id="shop"}') == 1
    assert await app.status("m5") == "deferred"
    assert await app.status("m6") == "queued", "it waits behind the deferred one"
    for minute in range(1, 4):
        app.clock.advance(62)
        await app.dispatch()
        assert len(smtp.accepted) <= 5 * (minute + 1)
    app.clock.advance(62)
    await app.dispatch()
    assert [copy.recipients[0] for copy in smtp.accepted] == [
        f"m{n}@customer.example" for n in range(12)
    ]


async def test_over_the_limit_an_account_may_choose_the_error(
    app: RunningService, smtp: FaultSMTP
) -> None:
    await app.account(limit_per_minute=2, limit_behavior="error")
    await app.hand_in(*(mail(f"m{n}") for n in range(3)))
    await app.dispatch()
    assert len(smtp.accepted) == 2
    assert (await app.show("m2"))["error"] == "rate limit exceeded"


async def test_mail_of_a_deleted_account_becomes_reported_errors(
    app: RunningService, receiver: ReportReceiver
) -> None:
    later = int(app.clock.wall()) + 3600
    await app.hand_in(mail("now"), mail("later", deferred_ts=later))
    assert (await app.client.delete("/account/shop")).json() == {"ok": True}
    await app.post("/commands/run-now")
    await receiver.wait_for(lambda: len(receiver.acknowledged) == 2)
    assert {r["error"] for r in receiver.acknowledged} == {"account deleted"}


async def test_an_account_made_again_at_once_gets_none_of_the_old_mail(
    app: RunningService, smtp: FaultSMTP, receiver: ReportReceiver
) -> None:
    later = int(app.clock.wall()) + 3600
    await app.hand_in(mail("now"), mail("later", deferred_ts=later))
    await app.client.delete("/account/shop")
    await app.account()
    await app.hand_in(mail("new"))
    await app.dispatch()
    await app.post("/commands/run-now")
    await receiver.wait_for(lambda: len(receiver.acknowledged) == 3)
    assert {r["id"]: r.get("error") for r in receiver.acknowledged} == {
        "now": "account deleted",
        "later": "account deleted",
        "new": None,
    }
    assert [copy.recipients[0] for copy in smtp.accepted] == ["new@customer.example"]


async def test_priority_decides_the_order_of_starting(app: RunningService, smtp: FaultSMTP) -> None:
    await app.account(max_connections=1)
    await app.hand_in(
        mail("low", priority="low"),
        mail("medium"),
        mail("high", priority=1),
        mail("immediate", priority="IMMEDIATE"),
    )
    await app.dispatch()
    order = [copy.recipients[0].partition("@")[0] for copy in smtp.accepted]
    assert order == ["immediate", "high", "medium", "low"]


async def test_a_turn_of_a_lower_priority_that_has_no_mail_goes_to_the_others_at_once(
    app: RunningService,
) -> None:
    await app.account(max_connections=1)
    for number in range(70):
        await app.hand_in(mail(f"m{number}", priority="low"))
        assert await app.dispatch() == 1, number


async def test_suspended_means_no_new_envelope_until_activated_and_survives_a_restart(
    start: StartService, smtp: FaultSMTP
) -> None:
    async with start() as app:
        await app.account()
        assert await app.post("/commands/suspend") == {"ok": True, "active": False}
        await app.hand_in(mail())
        assert await app.dispatch() == 0
    async with start() as app:
        assert (await app.client.get("/status")).json() == {"ok": True, "active": False}
        assert await app.dispatch() == 0
        assert await app.post("/commands/activate") == {"ok": True, "active": True}
        assert await app.dispatch() == 1


async def test_in_test_mode_activating_sends_nothing_before_run_now(
    app: RunningService, smtp: FaultSMTP
) -> None:
    await app.post("/commands/suspend")
    await app.hand_in(mail())
    await app.post("/commands/activate")
    for _ in range(50):  # time enough for a delivery
        assert await app.status("m1") == "queued"
    await app.run_now()
    await smtp.wait_for(lambda: len(smtp.accepted) == 1)


@pytest.mark.fault("process.suspended")
async def test_what_is_past_its_dot_finishes_although_sending_is_suspended(
    start: StartService,
) -> None:
    async with FaultSMTP(profile=Profile(script="dot.sleep200")) as slow, start() as app:
        await app.account(port=slow.port)
        await app.hand_in(mail("pending"))
        dispatch = asyncio.create_task(app.dispatch())
        await slow.wait_for(lambda: slow.dots_pending == 1)
        await app.post("/commands/suspend")
        await app.hand_in(mail("next"))
        await dispatch
        assert await app.status("pending") == "sent"
        assert await app.status("next") == "queued"
        assert len(slow.accepted) == 1


@pytest.mark.fault("process.account_deleted")
async def test_what_is_in_flight_finishes_although_its_account_is_deleted(
    start: StartService, receiver: ReportReceiver
) -> None:
    async with FaultSMTP(profile=Profile(script="dot.sleep200")) as slow, start() as app:
        await app.account(port=slow.port)
        await app.hand_in(mail("pending"))
        dispatch = asyncio.create_task(app.dispatch())
        await slow.wait_for(lambda: slow.dots_pending == 1)
        await app.hand_in(mail("next"))
        assert (await app.client.delete("/account/shop")).status_code == 200
        await dispatch
        assert await app.status("pending") == "sent"
        await app.run_now()
        await receiver.wait_for(lambda: len(receiver.acknowledged) == 2)
        assert len(slow.accepted) == 1
        reported = {entry["id"]: entry["error"] for entry in receiver.acknowledged}
        assert reported == {"pending": None, "next": "account deleted"}


async def test_a_changed_account_is_used_at_once(app: RunningService, smtp: FaultSMTP) -> None:
    async with FaultSMTP() as other:
        await app.hand_in(mail("first"))
        await app.dispatch()
        await app.account(port=other.port)
        await app.hand_in(mail("second"))
        await app.dispatch()
        assert len(smtp.accepted) == 1
        assert len(other.accepted) == 1


async def test_a_new_database_starts_out_suspended_where_the_configuration_says_so(
    start: StartService,
) -> None:
    settings = start.settings()
    quiet = settings.model_copy(update={"scheduler": SchedulerSettings(active=False)})
    async with start(quiet) as app:
        assert (await app.client.get("/status")).json()["active"] is False
        await app.post("/commands/activate")
    async with start(quiet) as app:
        assert (await app.client.get("/status")).json()["active"] is True, "it is for new ones only"


async def test_nothing_is_sent_whose_result_could_not_be_recorded(
    start: StartService, smtp: FaultSMTP
) -> None:
    async with start() as app:
        await app.account()
        await app.hand_in(mail())
    settings = start.settings()
    no_disk = settings.storage.model_copy(update={"min_free_bytes": 2**62})
    async with start(settings.model_copy(update={"storage": no_disk})) as app:
        assert await app.dispatch() == 0
        assert await app.status("m1") == "queued"
        response = await app.client.get("/readyz")
        assert response.status_code == 503
    assert smtp.accepted == []


@pytest.mark.fault("secrets.key_lost")
async def test_a_password_that_the_key_file_does_not_open_stops_that_account_alone(
    start: StartService, smtp: FaultSMTP, tmp_path: Path
) -> None:
    async with FaultSMTP(auth=("shop", "right")) as locked:
        async with start() as app:
            await app.account(port=locked.port, user="shop", password="right")
        os.unlink(tmp_path / "mail.key")  # a restore without it; the start makes another one
        async with start() as app:
            await app.account("open")
            await app.hand_in(mail("m1"), mail("m2", account_id="open"))
            await app.dispatch()
            assert (await app.status("m1"), await app.status("m2")) == ("queued", "sent")
            found = (await app.client.get("/accounts")).json()["accounts"]
            shop = next(account for account in found if account["id"] == "shop")
            assert (shop["state"], shop["has_password"]) == ("broken", False)
            assert "register it again with its password" in shop["last_error"]
            assert locked.connections == 0

            await app.account(port=locked.port, user="shop", password="right")
            await app.dispatch()
            assert await app.status("m1") == "sent"
