"""What goes wrong between the service and a mail server, seen from the request and from the report."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from asyncmail.testing import FaultSMTP, Profile, ReportReceiver
from asyncmail.testing.running import RunningService, StartService, mail


@pytest.mark.fault("smtp.end_after_dot")
@pytest.mark.parametrize("end", ["drop", "rst", "354"])
@pytest.mark.parametrize("taken", [True, False], ids=["accepted", "not accepted"])
async def test_a_message_whose_dot_was_not_answered_arrives_and_each_copy_is_explained(
    app: RunningService, smtp: FaultSMTP, end: str, taken: bool
) -> None:
    await app.hand_in(mail(to=f"m1+dot.{'accept.' if taken else ''}{end}.once@fault.example"))
    await app.dispatch()
    app.clock.advance(120)
    await app.dispatch()
    record = await app.show("m1")
    assert record["status"] == "sent"
    assert [attempt["uncertain"] for attempt in record["attempts"]] == [True, False]
    assert len(smtp.accepted) == (2 if taken else 1)


@pytest.mark.fault("smtp.odd_reply_text")
@pytest.mark.parametrize("text", ["control", "latin1", "unicode", "chatty"])
async def test_whatever_a_server_says_a_report_is_readable_and_short(
    start: StartService, receiver: ReportReceiver, text: str
) -> None:
    chatty = b"".join(b"550-5.7.1 go away and read %03d\r\n" % n for n in range(90))
    raw = {"chatty": chatty + b"550 5.7.1 no\r\n"}
    async with FaultSMTP(profile=Profile(raw=raw)) as smtp, start() as app:
        await app.account(port=smtp.port)
        await app.hand_in(mail(to=f"m1+rcpt.raw-{text}@fault.example"))
        await app.run_now()
        await app.reported("m1")
    error = receiver.acknowledged[0]["error"]
    assert error.startswith("550 5.7.1 ")
    assert error.isprintable()
    assert len(error) <= 500
    assert json.loads(receiver.posts[-1].body)["delivery_report"][0]["error"] == error


@pytest.mark.fault("smtp.too_many_recipients")
@pytest.mark.parametrize("most", [100, 40])
async def test_recipients_that_a_server_has_no_room_for_go_in_the_next_transaction(
    start: StartService, most: int
) -> None:
    to = [f"r{number}@customer.example" for number in range(250)]
    async with FaultSMTP(profile=Profile(max_recipients=most)) as smtp, start() as app:
        await app.account(port=smtp.port)
        await app.hand_in(mail(to=to))
        await app.dispatch()
        assert await app.status("m1") == "sent"
        assert [r for copy in smtp.accepted for r in copy.recipients] == to, "each exactly once"
        assert len(smtp.accepted) == -(-250 // most)
        smtp.assert_clean()


@pytest.mark.fault("smtp.no_8bitmime")
async def test_a_message_beyond_ascii_needs_no_8bitmime(start: StartService) -> None:
    async with FaultSMTP(extensions=("PIPELINING",)) as smtp, start() as app:
        await app.account(port=smtp.port)
        await app.hand_in(mail(subject="Grüße", body="Äpfel für dich.\n"))
        await app.dispatch()
        assert await app.status("m1") == "sent"
        assert smtp.accepted[0].data.isascii()
        smtp.assert_clean()


@pytest.mark.fault("smtp.password_changed")
async def test_a_password_changed_in_mid_run_is_used_at_once_and_old_connections_go(
    start: StartService,
) -> None:
    """The clock stands still: only the change itself lets the mail flow again."""
    slow = Profile(auth=("shop", "old"), clear_auth=True, script="dot.sleep100")
    async with FaultSMTP(profile=slow) as smtp, start(test_mode=False) as app:
        login = {"port": smtp.port, "user": "shop"}
        await app.account(**login, password="old", max_connections=3)
        await app.hand_in(*(mail(f"m{n}") for n in range(10)))
        await smtp.wait_for(lambda: smtp.dots_pending > 0)

        smtp.profile = replace(slow, auth=("shop", "new"))
        await app.account(**login, password="new", max_connections=3)
        made = smtp.connections
        await app.hand_in(*(mail(f"n{n}") for n in range(10)))
        await smtp.wait_for(lambda: len(smtp.accepted) == 20)
        later = {c.connection for c in smtp.accepted if c.recipients[0].startswith("n")}
        assert all(number > made for number in later), "none went over a connection of before"
        await smtp.wait_for(lambda: smtp.concurrent <= 3)

        smtp.profile = replace(slow, auth=("shop", "newer"))
        await app.account(**login, password="mistyped", max_connections=3)
        await app.hand_in(*(mail(f"o{n}") for n in range(10)))
        async with asyncio.timeout(5):
            while (await app.get("/accounts"))["accounts"][0]["state"] != "broken":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await app.account(**login, password="newer", max_connections=3)
        await smtp.wait_for(lambda: len(smtp.accepted) == 30, timeout=5)


@pytest.mark.fault("smtp.unreachable")
async def test_a_server_that_comes_back_is_found_soon_and_by_one_connection_an_account(
    start: StartService,
) -> None:
    """Ten accounts with mail waiting: while it is down, and at first when it is back, each asks alone,
    and not all in the same moment."""
    closed = Profile(max_connections=0)  # 421 to everybody
    async with FaultSMTP(profile=closed) as smtp, start() as app:
        for number in range(10):
            await app.account(f"a{number}", port=smtp.port)
            mails = (mail(f"m{number}-{n}", account_id=f"a{number}") for n in range(20))
            await app.hand_in(*mails)
        await app.dispatch()
        for _ in range(8):  # until the breakers wait for as long as they ever do
            app.clock.advance(400)
            before = smtp.connections
            await app.dispatch()
            assert smtp.connections - before == 10

        smtp.profile = Profile(script="greeting.421.drop")
        probes = []
        for _ in range(24):
            app.clock.advance(15)
            before = smtp.connections
            await app.dispatch()
            probes.append(smtp.connections - before)
        assert sum(probes) == 10, "each account within six minutes"
        assert max(probes) < 10, "and not all at a time"

        smtp.profile = Profile()
        app.clock.advance(400)
        await app.dispatch()
        assert len(smtp.accepted) == 200
        assert (await app.show("m0-0"))["message"]["retry_count"] == 0
