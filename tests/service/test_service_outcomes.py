"""What becomes of a message, from the request to the report, for each way a delivery can go."""

from __future__ import annotations

import pytest

from asyncmail.store.base import Lane, Pick
from asyncmail.testing import FaultSMTP, ReportReceiver
from asyncmail.testing.running import RunningService, StartService, mail


async def synced(
    app: RunningService, receiver: ReportReceiver, count: int
) -> dict[str, dict[str, object]]:
    """Let the service report, and return the reports by id once there are ``count``."""
    await app.post("/commands/run-now")
    await receiver.wait_for(lambda: len(receiver.acknowledged) >= count)
    return {report["id"]: report for report in receiver.acknowledged}


async def test_a_message_is_sent_once_and_reported(
    app: RunningService, smtp: FaultSMTP, receiver: ReportReceiver
) -> None:
    assert await app.hand_in(mail()) == {"ok": True, "queued": 1, "rejected": []}
    reports = await synced(app, receiver, 1)
    assert len(smtp.accepted) == 1
    assert smtp.accepted[0].recipients == ("m1@customer.example",)
    assert reports["m1"] == {
        "id": "m1",
        "account_id": "shop",
        "priority": 2,
        "sent_ts": int(app.clock.wall()),
        "error_ts": None,
        "error": None,
        "deferred_ts": None,
    }
    record = await app.show("m1")
    assert record["status"] == "sent"


async def test_a_temporary_refusal_is_tried_again_when_its_time_has_come(
    app: RunningService, smtp: FaultSMTP
) -> None:
    await app.hand_in(mail(to="m1+rcpt.451.once@fault.example"))
    assert await app.dispatch() == 1
    record = await app.show("m1")
    assert record["status"] == "deferred"
    assert record["deferred_ts"] >= app.clock.wall() + 60
    assert "451" in record["error"]
    app.clock.advance(59)
    assert await app.dispatch() == 0
    app.clock.advance(10)
    assert await app.dispatch() == 1
    assert await app.status("m1") == "sent"
    assert len(smtp.accepted) == 1


async def test_a_permanent_refusal_is_an_error_with_the_servers_words(
    app: RunningService, receiver: ReportReceiver
) -> None:
    await app.hand_in(mail(to="m1+rcpt.550@fault.example"))
    reports = await synced(app, receiver, 1)
    assert reports["m1"]["sent_ts"] is None
    assert str(reports["m1"]["error"]).startswith("550")


@pytest.mark.fault("smtp.mixed_recipients")
async def test_of_three_recipients_each_gets_its_own_outcome_and_no_second_copy(
    app: RunningService, smtp: FaultSMTP, receiver: ReportReceiver
) -> None:
    to = ["ok@fault.example", "no+rcpt.550@fault.example", "later+rcpt.451.once@fault.example"]
    await app.hand_in(mail(to=to))
    await app.dispatch()
    assert await app.status("m1") == "deferred"
    app.clock.advance(120)
    reports = await synced(app, receiver, 1)
    assert [copy.recipients for copy in smtp.accepted] == [(to[0],), (to[2],)]
    error = str(reports["m1"]["error"])
    assert error.startswith(f"partial: delivered to 2 of 3; {to[1]}: 550")


async def test_a_connection_dropped_before_the_dot_costs_a_retry_and_no_copy(
    app: RunningService, smtp: FaultSMTP
) -> None:
    await app.hand_in(mail(to="m1+data.drop.once@fault.example"))
    await app.dispatch()
    app.clock.advance(120)
    await app.dispatch()
    assert await app.status("m1") == "sent"
    assert len(smtp.accepted) == 1


@pytest.mark.fault("smtp.end_after_dot")
async def test_a_reply_lost_after_the_dot_is_uncertain_and_its_second_copy_explained(
    app: RunningService, smtp: FaultSMTP
) -> None:
    await app.hand_in(mail(to="m1+dot.accept.drop.once@fault.example"))
    await app.dispatch()
    assert "uncertain" in (await app.show("m1"))["error"]
    app.clock.advance(120)
    await app.dispatch()
    record = await app.show("m1")
    assert record["status"] == "sent"
    assert len(smtp.accepted) == 2
    assert smtp.accepted[0].data == smtp.accepted[1].data, "every attempt sends the same bytes"
    assert [attempt["uncertain"] for attempt in record["attempts"]] == [True, False]
    assert await app.metric('asyncmail_uncertain_total{account_id="shop"}') == 1


@pytest.mark.fault("smtp.end_after_dot")
async def test_under_hold_an_uncertain_message_is_reported_and_never_sent_again(
    app: RunningService, smtp: FaultSMTP, receiver: ReportReceiver
) -> None:
    await app.hand_in(mail(to="m1+dot.accept.drop@fault.example", on_uncertain="hold"))
    reports = await synced(app, receiver, 1)
    assert str(reports["m1"]["error"]).startswith("delivery uncertain")
    app.clock.advance(86400)
    assert await app.dispatch() == 0
    assert len(smtp.accepted) == 1


@pytest.mark.fault("smtp.end_after_dot")
async def test_uncertain_retries_end_with_their_budget(
    app: RunningService, smtp: FaultSMTP
) -> None:
    await app.hand_in(mail(to="m1+dot.accept.drop@fault.example"))
    for _ in range(6):
        await app.dispatch()
        app.clock.advance(4000)
    record = await app.show("m1")
    assert record["status"] == "error"
    assert "uncertain" in record["error"]
    assert len(smtp.accepted) == 3, "the first copy and two uncertain retries"


async def test_more_than_a_hundred_recipients_go_in_several_transactions(
    app: RunningService, smtp: FaultSMTP
) -> None:
    to = [f"r{number}@customer.example" for number in range(250)]
    await app.hand_in(mail(to=to))
    await app.dispatch()
    assert await app.status("m1") == "sent"
    assert [len(copy.recipients) for copy in smtp.accepted] == [100, 100, 50]
    assert [r for copy in smtp.accepted for r in copy.recipients] == to


async def test_an_expired_message_is_not_sent(app: RunningService, smtp: FaultSMTP) -> None:
    await app.hand_in(mail(expires_ts=int(app.clock.wall()) + 10))
    app.clock.advance(11)
    await app.dispatch()
    record = await app.show("m1")
    assert (record["status"], record["error"]) == ("error", "expired")
    assert smtp.accepted == []


async def test_a_scheduled_message_waits_for_its_time(app: RunningService, smtp: FaultSMTP) -> None:
    due = int(app.clock.wall()) + 3600
    await app.hand_in(mail(deferred_ts=due))
    assert await app.dispatch() == 0
    assert (await app.show("m1"))["deferred_ts"] == due
    app.clock.advance(3600)
    assert await app.dispatch() == 1
    assert await app.status("m1") == "sent"
    assert (await app.show("m1"))["deferred_ts"] is None


async def test_the_wall_clock_set_back_delays_no_retry(app: RunningService) -> None:
    await app.hand_in(mail(to="m1+rcpt.451.once@fault.example"))
    await app.dispatch()
    app.clock.set_wall(app.clock.wall() - 7200)
    app.clock.advance(120)
    await app.dispatch()
    assert await app.status("m1") == "sent"


async def test_an_errored_id_may_be_handed_in_again_and_accepted_recipients_get_no_second_copy(
    app: RunningService, smtp: FaultSMTP
) -> None:
    await app.hand_in(mail(to=["ok@fault.example", "no+rcpt.550.once@fault.example"]))
    await app.dispatch()
    assert await app.status("m1") == "error"
    again = mail(to=["ok@fault.example", "no+rcpt.550.once@fault.example"])
    assert (await app.hand_in(again))["queued"] == 1
    await app.dispatch()
    assert await app.status("m1") == "sent"
    assert [copy.recipients for copy in smtp.accepted] == [
        ("ok@fault.example",),
        ("no+rcpt.550.once@fault.example",),
    ]


async def test_what_was_in_flight_at_a_crash_is_retried_and_explained(
    start: StartService, smtp: FaultSMTP
) -> None:
    async with start() as app:
        await app.account()
        await app.hand_in(mail())
        pick = Pick(Lane("default", "shop"), (0, 1, 2, 3), 1)
        claims = await app.service.store.claim(
            [pick], max_bytes=1_000_000
        )  # as if the process had died with it in its hands
        assert len(claims.claims) == 1
    async with start() as app:
        await app.dispatch()
        record = await app.show("m1")
    assert record["status"] == "sent"
    assert [attempt["uncertain"] for attempt in record["attempts"]] == [True, False]
    assert len(smtp.accepted) == 1


async def test_the_new_content_of_a_replaced_message_is_what_is_sent(
    start: StartService, smtp: FaultSMTP
) -> None:
    async with start(on_duplicate="replace") as app:
        await app.account()
        await app.hand_in({**mail("m"), "subject": "old"})
        await app.hand_in({**mail("m"), "subject": "new"})
        await app.dispatch()
    [copy] = smtp.accepted
    assert b"Subject: new\r\n" in copy.data


async def test_a_clock_set_back_by_days_makes_no_mail_too_old(
    app: RunningService, smtp: FaultSMTP
) -> None:
    app.clock.set_wall(app.clock.wall() - 6 * 86400)  # more than max_age
    await app.hand_in(mail(to="m1+rcpt.451.once@fault.example"))
    await app.dispatch()
    assert await app.status("m1") == "deferred"
