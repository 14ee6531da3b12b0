"""A second opinion on faults: Postfix's smtp-sink misbehaves, and the outcome table holds."""

from __future__ import annotations

import asyncio

import pytest
from helpers import BODY, Attempt, account, envelope
from mail_servers import smtp_sink

from asyncmail.builtin.smtp import SmtpTransport
from asyncmail.model import Delivery, Disposition

ACCEPTED, TEMPORARY, PERMANENT = Disposition.ACCEPTED, Disposition.TEMPORARY, Disposition.PERMANENT
UNCERTAIN = Disposition.UNCERTAIN


async def attempt(transport: SmtpTransport, port: int, data: bytes = BODY) -> Delivery:
    sending = transport.send(envelope(data=data), account(port), Attempt())
    return await asyncio.wait_for(sending, 10)


def disposition(delivery: Delivery) -> Disposition:
    (outcome,) = delivery.outcomes
    return outcome.disposition


@pytest.mark.fault("smtp.refused_by_command")
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "."])
async def test_a_command_that_postfix_refuses(transport: SmtpTransport, command: str) -> None:
    async with smtp_sink("-r", command) as port:
        assert disposition(await attempt(transport, port)) is TEMPORARY
    async with smtp_sink("-f", command) as port:
        delivery = await attempt(transport, port)
        assert disposition(delivery) is PERMANENT
        assert delivery.outcomes[0].describe() == "500 5.3.0 Error: command failed"


@pytest.mark.fault("smtp.421", "smtp.end_before_dot", "smtp.end_after_dot")
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "."])
async def test_a_command_at_which_postfix_leaves(transport: SmtpTransport, command: str) -> None:
    async with smtp_sink("-Q", command) as port:
        delivery = await attempt(transport, port)
        assert disposition(delivery) is TEMPORARY
        assert delivery.outcomes[0].code == 421
    async with smtp_sink("-q", command) as port:
        delivery = await attempt(transport, port)
        assert disposition(delivery) is (UNCERTAIN if command == "." else TEMPORARY)
    assert transport.connections() == {"busy": 0, "idle": 0}


@pytest.mark.fault("smtp.failure_before_mail")
@pytest.mark.parametrize("flag", ["-r", "-f", "-q", "-Q"])
@pytest.mark.parametrize("commands", ["CONNECT", "EHLO,HELO"])
async def test_a_session_that_postfix_does_not_begin(
    transport: SmtpTransport, flag: str, commands: str
) -> None:
    async with smtp_sink(flag, commands) as port:
        delivery = await attempt(transport, port)
    assert delivery.account_problem
    assert not delivery.charged
    assert disposition(delivery) is TEMPORARY


@pytest.mark.fault("smtp.no_ehlo")
async def test_a_postfix_that_knows_no_ehlo(transport: SmtpTransport) -> None:
    async with smtp_sink("-f", "EHLO") as port:
        assert disposition(await attempt(transport, port)) is ACCEPTED
    async with smtp_sink("-P") as port:  # as seen through a PIX firewall
        assert disposition(await attempt(transport, port)) is ACCEPTED


@pytest.mark.fault("smtp.slow_dot_reply", "smtp.late_dot_reply")
async def test_a_postfix_that_is_slow_at_the_dot(
    transport: SmtpTransport, hasty: SmtpTransport
) -> None:
    async with smtp_sink("-W", ".:1") as port:
        assert disposition(await attempt(transport, port)) is ACCEPTED
        assert disposition(await attempt(hasty, port)) is UNCERTAIN


@pytest.mark.fault("smtp.early_reply")
@pytest.mark.parametrize("size", [100, 5_000_000])
async def test_a_postfix_that_refuses_before_it_has_the_message(
    transport: SmtpTransport, size: int
) -> None:
    data = BODY + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * (size // 72)
    async with smtp_sink("-A", "0") as port:
        assert disposition(await attempt(transport, port, data)) in (TEMPORARY, PERMANENT)
