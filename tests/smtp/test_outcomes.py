"""The outcome table on a real connection: each moment, each kind of failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from helpers import (
    Attempt,
    ScriptedServer,
    Step,
    accept_then,
    account,
    drip,
    drop,
    envelope,
    hang,
    late,
    raw,
    reply,
    reset,
    then_close,
)

from asyncmail.builtin.smtp import SmtpTransport
from asyncmail.model import Delivery, Disposition

MakeTransport = Callable[..., Awaitable[SmtpTransport]]

ACCEPTED, TEMPORARY, PERMANENT = Disposition.ACCEPTED, Disposition.TEMPORARY, Disposition.PERMANENT
UNCERTAIN, UNTRIED = Disposition.UNCERTAIN, Disposition.UNTRIED
STEP_BY_STEP = ("8BITMIME", "SIZE 1000000", "SMTPUTF8")

modes = pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "stepwise"])


def server(script: dict[str, Step | list[Step]], pipelining: bool = True) -> ScriptedServer:
    if pipelining:
        return ScriptedServer(script)
    return ScriptedServer(script, extensions=STEP_BY_STEP)


async def attempt(transport: SmtpTransport, smtp: ScriptedServer, *to: str) -> Delivery:
    """Send to a server; within a bound, so that a hang is a failure and no endless test."""
    sending = transport.send(envelope(*to), account(smtp.port), Attempt())
    return await asyncio.wait_for(sending, 10)


def dispositions(delivery: Delivery) -> list[Disposition]:
    return [outcome.disposition for outcome in delivery.outcomes]


# --- verbs and replies ---------------------------------------------------------------------------


@pytest.mark.fault("smtp.421", "smtp.refused_by_command")
@modes
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "DOT"])
@pytest.mark.parametrize("code", [450, 550, 421])
async def test_a_refusal_keeps_its_code_and_its_kind(
    transport: SmtpTransport, verb: str, code: int, pipelining: bool
) -> None:
    text = f"{code} {code // 100}.7.1 not now"
    step = then_close(text) if code == 421 else reply(text)
    async with server({verb: step}, pipelining) as smtp:
        delivery = await attempt(transport, smtp)
    (outcome,) = delivery.outcomes
    assert outcome.disposition is (PERMANENT if code == 550 else TEMPORARY)
    assert (outcome.code, outcome.enhanced, outcome.text) == (code, f"{code // 100}.7.1", "not now")
    assert delivery.transaction_begun
    assert delivery.charged
    assert not delivery.account_problem
    assert smtp.messages == []


@pytest.mark.fault("smtp.end_before_dot")
@modes
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("step", [drop, reset, hang], ids=["drop", "reset", "hang"])
async def test_an_end_before_the_dot_is_not_sent(
    hasty: SmtpTransport, verb: str, step: Step, pipelining: bool
) -> None:
    async with server({verb: step}, pipelining) as smtp:
        delivery = await attempt(hasty, smtp)
    (outcome,) = delivery.outcomes
    assert outcome.disposition is TEMPORARY
    assert f"(at {verb})" in outcome.text
    assert delivery.transaction_begun


@pytest.mark.fault("smtp.end_after_dot")
@pytest.mark.parametrize("taken", [True, False], ids=["accepted", "not accepted"])
@pytest.mark.parametrize(
    "step", [drop, reset, hang, reply("354 again"), reply("150 x"), raw(b"ok\r\n")]
)
async def test_after_the_dot_only_a_clear_reply_is_an_answer(
    hasty: SmtpTransport, step: Step, taken: bool
) -> None:
    async with server({"DOT": accept_then(step) if taken else step}) as smtp:
        delivery = await attempt(hasty, smtp)
    (outcome,) = delivery.outcomes
    assert outcome.disposition is UNCERTAIN
    assert "(after the final dot)" in outcome.text
    assert hasty.connections() == {"busy": 0, "idle": 0}


@pytest.mark.fault("smtp.late_dot_reply")
async def test_a_late_reply_to_the_dot_changes_nothing(hasty: SmtpTransport) -> None:
    async with server({"DOT": accept_then(late(0.5, reply("250 ok")))}) as smtp:
        delivery = await attempt(hasty, smtp)
        assert dispositions(delivery) == [UNCERTAIN]
        assert dispositions(await attempt(hasty, smtp)) == [UNCERTAIN]
        assert len(smtp.connections) == 2


@pytest.mark.fault("smtp.slow_dot_reply")
async def test_a_slow_reply_within_its_time_is_the_reply(transport: SmtpTransport) -> None:
    async with server({"DOT": late(0.2, accept_then(reply("250 ok")))}) as smtp:
        assert dispositions(await attempt(transport, smtp)) == [ACCEPTED]
        assert len(smtp.messages) == 1


@pytest.mark.fault("smtp.slow_recipients")
@modes
async def test_each_command_has_its_own_clock(
    make_transport: MakeTransport, pipelining: bool
) -> None:
    transport = await make_transport(timeouts={"command": 0.7})
    to = [f"r{n}@example.net" for n in range(6)]
    async with server({"RCPT": late(0.15, reply("250 ok"))}, pipelining) as smtp:
        assert dispositions(await attempt(transport, smtp, *to)) == [ACCEPTED] * 6


@pytest.mark.fault("smtp.dripping_reply")
async def test_a_reply_that_drips_is_measured_as_a_whole(hasty: SmtpTransport) -> None:
    async with server({"MAIL": drip(b"250 " + b"x" * 1000, 0.05)}) as smtp:
        (outcome,) = (await attempt(hasty, smtp)).outcomes
    assert outcome.disposition is TEMPORARY
    assert "within 0.3 s" in outcome.text


@pytest.mark.fault("smtp.reset_hangs")
async def test_a_reset_that_hangs_does_not_change_the_answer(hasty: SmtpTransport) -> None:
    async with server({"RCPT": reply("550 no"), "RSET": hang}) as smtp:
        for _ in range(2):
            (outcome,) = (await attempt(hasty, smtp)).outcomes
            assert (outcome.disposition, outcome.code) == (PERMANENT, 550)


# --- malformed and out of step -------------------------------------------------------------------

NONSENSE = {
    "no digits": b"hello\r\n",
    "binary": bytes(range(128, 256)) + b"\r\n",
    "code 99": b"99 x\r\n",
    "long line": b"250 " + b"x" * 9000 + b"\r\n",
    "no end": b"2" * 1_000_000,
    "endless": b"250-x\r\n" * 20_000,
}


@pytest.mark.fault("smtp.long_reply_line", "smtp.endless_reply", "smtp.malformed_reply")
@pytest.mark.parametrize("data", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_nonsense_closes_and_counts_by_its_moment(
    transport: SmtpTransport, verb: str, data: bytes
) -> None:
    async with server({verb: raw(data)}) as smtp:
        (outcome,) = (await attempt(transport, smtp)).outcomes
    assert outcome.disposition is (UNCERTAIN if verb == "DOT" else TEMPORARY)
    assert len(outcome.text) <= 600
    assert transport.connections()["idle"] == 0


@pytest.mark.fault("smtp.sloppy_reply")
@pytest.mark.parametrize("data", [b"250\r\n", b"250 ok\n", b"250-\r\n250 \xfc\r\n"])
async def test_sloppy_replies_do_no_harm(transport: SmtpTransport, data: bytes) -> None:
    async with server({"MAIL": raw(data), "DOT": accept_then(raw(data))}) as smtp:
        assert dispositions(await attempt(transport, smtp)) == [ACCEPTED]


@pytest.mark.fault("smtp.two_replies_at_dot")
async def test_a_second_reply_to_the_dot_does_not_reach_the_next_message(
    transport: SmtpTransport,
) -> None:
    double = accept_then(raw(b"250 queued\r\n550 not you\r\n"))
    async with server({"DOT": [double, accept_then(reply("250 ok"))]}) as smtp:
        assert dispositions(await attempt(transport, smtp)) == [ACCEPTED]
        assert transport.connections()["idle"] == 0
        assert dispositions(await attempt(transport, smtp)) == [ACCEPTED]
        assert len(smtp.messages) == 2


@pytest.mark.fault("smtp.early_reply")
@modes
@pytest.mark.parametrize("early", [b"250 queued\r\n", b"25", b"550 no\r\n"])
async def test_an_answer_before_the_question_is_no_success(
    transport: SmtpTransport, early: bytes, pipelining: bool
) -> None:
    async with server({"DATA": raw(b"354 go\r\n" + early)}, pipelining) as smtp:
        delivery = await attempt(transport, smtp)
    assert dispositions(delivery) == [TEMPORARY]
    assert smtp.messages == []


async def test_success_at_data_is_out_of_step(transport: SmtpTransport) -> None:
    async with server({"DATA": reply("250 ok")}) as smtp:
        assert dispositions(await attempt(transport, smtp)) == [TEMPORARY]
        assert smtp.messages == []


# --- recipients ----------------------------------------------------------------------------------

TO = ["a@example.net", "b@example.net", "c@example.net"]


@pytest.mark.fault("smtp.mixed_recipients")
@modes
async def test_each_recipient_has_its_own_outcome(
    transport: SmtpTransport, pipelining: bool
) -> None:
    script = [reply("250 ok"), reply("550 5.1.1 no such user"), reply("451 4.3.0 later")]
    async with server({"RCPT": script}, pipelining) as smtp:
        delivery = await attempt(transport, smtp, *TO)
    assert dispositions(delivery) == [ACCEPTED, PERMANENT, TEMPORARY]
    assert delivery.outcomes[1].describe() == "550 5.1.1 no such user"
    assert len(smtp.messages) == 1


@pytest.mark.fault("smtp.421_at_recipient")
@modes
async def test_a_refusal_stands_when_the_session_ends_after_it(
    transport: SmtpTransport, pipelining: bool
) -> None:
    script = [reply("250 ok"), reply("550 no"), then_close("421 too much")]
    async with server({"RCPT": script}, pipelining) as smtp:
        delivery = await attempt(transport, smtp, *TO)
    assert dispositions(delivery) == [TEMPORARY, PERMANENT, TEMPORARY]
    assert [outcome.code for outcome in delivery.outcomes] == [421, 550, 421]


@modes
async def test_too_many_recipients_leaves_the_rest_untried(
    transport: SmtpTransport, pipelining: bool
) -> None:
    script = [reply("250 ok"), reply("452 4.5.3 too many"), reply("552 too many")]
    async with server({"RCPT": script}, pipelining) as smtp:
        assert dispositions(await attempt(transport, smtp, *TO)) == [ACCEPTED, UNTRIED, UNTRIED]


@modes
@pytest.mark.parametrize(("code", "disposition"), [(452, TEMPORARY), (552, PERMANENT)])
async def test_too_many_is_no_reason_for_the_first_recipient(
    transport: SmtpTransport, code: int, disposition: Disposition, pipelining: bool
) -> None:
    async with server({"RCPT": reply(f"{code} mailbox full")}, pipelining) as smtp:
        assert dispositions(await attempt(transport, smtp, *TO)) == [disposition] * 3


async def test_a_transaction_takes_a_hundred_recipients(transport: SmtpTransport) -> None:
    to = [f"r{n}@example.net" for n in range(120)]
    async with server({}) as smtp:
        outcomes = dispositions(await attempt(transport, smtp, *to))
        assert outcomes == [ACCEPTED] * 100 + [UNTRIED] * 20
        assert smtp.messages[0][0][1:] == tuple(to[:100])


@pytest.mark.fault("smtp.nobody_accepted")
async def test_nobody_gets_an_empty_message(transport: SmtpTransport) -> None:
    script = {"RCPT": reply("550 no"), "DATA": reply("354 go ahead all the same")}
    async with server(script) as smtp:
        trying = Attempt()
        delivery = await transport.send(envelope(), account(smtp.port), trying)
    assert dispositions(delivery) == [PERMANENT]
    assert transport.connections() == {"busy": 0, "idle": 0}
    assert "." not in smtp.commands
    assert trying.calls == ["begin"]


# --- what the server cannot take -----------------------------------------------------------------


@pytest.mark.fault("smtp.size_limit")
async def test_a_message_over_the_servers_size_is_refused_before_mail(
    transport: SmtpTransport,
) -> None:
    async with ScriptedServer(extensions=("SIZE 20",)) as smtp:
        delivery = await attempt(transport, smtp)
    assert dispositions(delivery) == [PERMANENT]
    assert not delivery.transaction_begun
    assert not any(command.startswith("MAIL") for command in smtp.commands)


@pytest.mark.parametrize("offered", ["SIZE", "SIZE 0", "SIZE x"])
async def test_size_without_a_limit_is_no_limit(transport: SmtpTransport, offered: str) -> None:
    async with ScriptedServer(extensions=(offered,)) as smtp:
        assert dispositions(await attempt(transport, smtp)) == [ACCEPTED]
        assert any("SIZE=" in command for command in smtp.commands)


@pytest.mark.fault("smtp.no_8bitmime")
async def test_eight_bit_content_needs_8bitmime(transport: SmtpTransport) -> None:
    message = envelope(data="Subject: x\r\n\r\nfür\r\n".encode())
    async with ScriptedServer(extensions=()) as smtp:
        delivery = await transport.send(message, account(smtp.port), Attempt())
        assert dispositions(delivery) == [PERMANENT]
    async with ScriptedServer(extensions=("8BITMIME",)) as smtp:
        delivery = await transport.send(message, account(smtp.port), Attempt())
        assert dispositions(delivery) == [ACCEPTED]
        assert "MAIL FROM:<a@example.org> BODY=8BITMIME" in smtp.commands


@pytest.mark.fault("smtp.no_smtputf8")
async def test_without_smtputf8_only_those_who_need_it_are_refused(
    transport: SmtpTransport,
) -> None:
    async with ScriptedServer(extensions=()) as smtp:
        delivery = await attempt(transport, smtp, "a@example.net", "ü@example.net")
        assert dispositions(delivery) == [ACCEPTED, PERMANENT]
        assert "SMTPUTF8" in delivery.outcomes[1].text
        foreign = envelope("a@example.net", sender="ü@example.org")
        delivery = await transport.send(foreign, account(smtp.port), Attempt())
        assert dispositions(delivery) == [PERMANENT]


async def test_a_header_beyond_ascii_goes_only_to_servers_with_smtputf8(
    transport: SmtpTransport,
) -> None:
    header = "From: <a@example.org>\r\nTo: <jörg@example.net>\r\n"
    for data in (f"{header}\r\nHello.\r\n", header):
        message = envelope("b@example.net", "c@example.net", data=data.encode())
        async with ScriptedServer(extensions=("8BITMIME",)) as smtp:
            delivery = await transport.send(message, account(smtp.port), Attempt())
            assert dispositions(delivery) == [PERMANENT, PERMANENT]
            assert "header needs SMTPUTF8" in delivery.outcomes[0].text
            assert smtp.messages == []
        async with ScriptedServer(extensions=("8BITMIME", "SMTPUTF8")) as smtp:
            delivery = await transport.send(message, account(smtp.port), Attempt())
            assert dispositions(delivery) == [ACCEPTED, ACCEPTED]
            assert "MAIL FROM:<a@example.org> BODY=8BITMIME SMTPUTF8" in smtp.commands


async def test_smtputf8_is_said_only_where_it_is_needed(transport: SmtpTransport) -> None:
    async with ScriptedServer() as smtp:
        await attempt(transport, smtp, "a@example.net")
        await attempt(transport, smtp, "ü@example.net")
        text = envelope(data="Subject: x\r\n\r\nfür\r\n".encode())
        await transport.send(text, account(smtp.port), Attempt())
        mails = [command for command in smtp.commands if command.startswith("MAIL")]
        assert ["SMTPUTF8" in mail for mail in mails] == [False, True, False]


async def test_a_message_with_bare_line_ends_reaches_no_server(transport: SmtpTransport) -> None:
    async with ScriptedServer() as smtp:
        smuggled = envelope(data=b"Subject: x\r\n\r\na\n.\nMAIL FROM:<x@y>\r\n")
        delivery = await transport.send(smuggled, account(smtp.port), Attempt())
        assert dispositions(delivery) == [PERMANENT]
        assert smtp.connections == []


async def test_what_is_no_mailbox_reaches_no_server_and_harms_no_other_recipient(
    transport: SmtpTransport,
) -> None:
    async with ScriptedServer() as smtp:
        delivery = await attempt(transport, smtp, "a@b> SIZE=1", "c@example.net", "d@e\r\nRSET")
        assert dispositions(delivery) == [PERMANENT, ACCEPTED, PERMANENT]
        assert [c for c in smtp.commands if c.startswith("RCPT")] == ["RCPT TO:<c@example.net>"]
        assert "RSET" not in smtp.commands


# --- the attempt ---------------------------------------------------------------------------------


async def test_a_message_taken_back_before_its_dot_is_not_handed_over(
    transport: SmtpTransport,
) -> None:
    async with ScriptedServer() as smtp:
        delivery = await transport.send(envelope(), account(smtp.port), Attempt("before_dot"))
        assert dispositions(delivery) == [TEMPORARY]
        assert not delivery.charged
        assert delivery.transaction_begun
        assert smtp.messages == []
        assert transport.connections() == {"busy": 0, "idle": 0}


async def test_a_message_taken_back_before_mail_leaves_the_connection_as_it_is(
    transport: SmtpTransport,
) -> None:
    async with ScriptedServer() as smtp:
        delivery = await transport.send(envelope(), account(smtp.port), Attempt("begin"))
        assert not delivery.transaction_begun
        assert not delivery.charged
        assert not any(command.startswith("MAIL") for command in smtp.commands)
        assert transport.connections() == {"busy": 0, "idle": 1}


@modes
async def test_the_intent_is_asked_for_once_and_every_reply_is_progress(
    transport: SmtpTransport, pipelining: bool
) -> None:
    async with server({}, pipelining) as smtp:
        trying = Attempt()
        await transport.send(envelope(*TO), account(smtp.port), trying)
        assert trying.calls == ["begin", "before_dot"]
        on_the_way = trying.moves - 1  # the first is that to a connection
        assert on_the_way == 6 or (pipelining and on_the_way >= 2), "replies may come together"


async def test_an_end_while_the_intent_is_committed_is_not_sent(transport: SmtpTransport) -> None:
    gone = asyncio.Event()

    async def go_and_leave(connection) -> None:
        await connection.say("354 go ahead")
        connection.writer.close()
        await connection.writer.wait_closed()
        gone.set()

    async def commit() -> None:
        await gone.wait()
        for _ in range(10):  # turns of the loop, in which the client hears of the end
            await asyncio.sleep(0)

    async with server({"DATA": go_and_leave}) as smtp:
        delivery = await transport.send(envelope(), account(smtp.port), Attempt(at_dot=commit))
        assert dispositions(delivery) == [TEMPORARY]


async def test_the_intent_is_declared_once_even_if_the_session_ends_over_it(
    transport: SmtpTransport,
) -> None:
    committing, nonsense = asyncio.Event(), asyncio.Event()

    async def talk_too_much(connection) -> None:
        await connection.say("354 go ahead")
        await committing.wait()
        await connection.say("250 what?")
        nonsense.set()

    async def commit() -> None:
        committing.set()
        await nonsense.wait()
        for _ in range(10):  # turns of the loop, in which the client hears it
            await asyncio.sleep(0)

    async with server({"DATA": [reply("354 go ahead"), talk_too_much]}) as smtp:
        assert dispositions(await attempt(transport, smtp)) == [ACCEPTED]
        trying = Attempt(at_dot=commit)
        delivery = await transport.send(envelope(), account(smtp.port), trying)
        assert dispositions(delivery) == [TEMPORARY]
        assert trying.calls == ["begin", "before_dot"]
        assert len(smtp.messages) == 1


async def test_a_cancelled_send_leaves_no_connection_behind(transport: SmtpTransport) -> None:
    asked = asyncio.Event()

    async def say_nothing(connection) -> None:
        asked.set()
        await hang(connection)

    async with server({"DOT": say_nothing}) as smtp:
        sending = asyncio.ensure_future(transport.send(envelope(), account(smtp.port), Attempt()))
        await asked.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert transport.connections() == {"busy": 0, "idle": 0}


async def test_a_server_that_stops_reading_is_given_up_before_the_dot(
    hasty: SmtpTransport,
) -> None:
    async def stop_reading(connection) -> None:
        connection.writer.write(b"354 go ahead\r\n")
        connection.writer.transport.pause_reading()
        await hang(connection)

    line = b"x" * 70 + b"\r\n"
    large = envelope(data=b"Subject: x\r\n\r\n" + line * 300_000)
    async with ScriptedServer({"DATA": stop_reading}, extensions=("PIPELINING",)) as smtp:
        (outcome,) = (await hasty.send(large, account(smtp.port), Attempt())).outcomes
    assert outcome.disposition is TEMPORARY
    assert "room for the message" in outcome.text


async def test_a_large_message_arrives_as_it_is(transport: SmtpTransport) -> None:
    lines = (b"." * (n % 5) + b"%d\r\n" % n for n in range(60_000))
    large = envelope(data=b"Subject: x\r\n\r\n" + b"".join(lines))
    async with ScriptedServer(extensions=("PIPELINING",)) as smtp:
        delivery = await transport.send(large, account(smtp.port), Attempt())
        assert dispositions(delivery) == [ACCEPTED]
        assert smtp.messages[0][1] == large.data


async def test_a_servers_wish_to_wait_is_handed_on(transport: SmtpTransport) -> None:
    async with server({"RCPT": reply("450 greylisted, try again in 120 seconds")}) as smtp:
        assert (await attempt(transport, smtp)).retry_after == 120
