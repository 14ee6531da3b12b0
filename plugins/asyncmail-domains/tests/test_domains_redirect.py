"""Redirect, in the whole service: the listed recipients get everything, a header names the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from email import message_from_bytes
from email.header import decode_header, make_header
from typing import Any

import pytest
from asyncmail_domains import RedirectSettings, RedirectTransport
from pydantic import ValidationError

from asyncmail import Attempt, AttemptRevoked, Transport
from asyncmail.model import Account, Delivery, Disposition, Envelope, RecipientOutcome
from asyncmail.testing import FaultSMTP, LoneContext, NotingAttempt, samples
from asyncmail.testing.running import RunningService, StartService, mail

TARGETS = ("qa@staging.example", "dev@staging.example")


@pytest.fixture
def service_plugins() -> Mapping[str, Any]:
    return {"transports": ["smtp", "redirect"], "redirect": {"recipients": list(TARGETS)}}


@pytest.fixture
async def staging(service: RunningService) -> RunningService:
    await service.account(transport="redirect")
    return service


def originals(data: bytes) -> list[str]:
    """What the header says, as a mail program shows it."""
    fields = message_from_bytes(data).get_all("X-Original-To") or []
    return [str(make_header(decode_header(field))) for field in fields]


async def test_all_mail_goes_to_the_listed_recipients_and_says_whom_it_was_for(
    staging: RunningService, smtp_server: FaultSMTP
) -> None:
    to = ["bob@customer.example", "eve@customer.example"]
    await staging.hand_in(mail(to=to, bcc=["boss@shop.example"]))
    await staging.dispatch()
    [copy] = smtp_server.accepted
    assert copy.recipients == TARGETS
    assert originals(copy.data) == [*to, "boss@shop.example"]
    assert await staging.status("m1") == "sent"


async def test_a_refusal_is_every_original_recipients_and_names_who_was_asked(
    staging: RunningService, smtp_server: FaultSMTP
) -> None:
    smtp_server.profile = replace(smtp_server.profile, script="rcpt.550")
    await staging.hand_in(mail(to=["bob@customer.example", "eve@customer.example"]))
    await staging.dispatch()
    record = await staging.show("m1")
    assert record["status"] == "error"
    outcomes = record["recipients"]
    assert [o["recipient"] for o in outcomes] == ["bob@customer.example", "eve@customer.example"]
    assert {(o["outcome"], o["code"]) for o in outcomes} == {("permanent", 550)}
    assert all("redirected to qa@staging.example" in o["text"] for o in outcomes)


async def test_a_temporary_failure_is_tried_again(
    staging: RunningService, smtp_server: FaultSMTP
) -> None:
    smtp_server.profile = replace(smtp_server.profile, script="data.451.once")
    await staging.hand_in(mail())
    await staging.dispatch()
    assert await staging.status("m1") == "deferred"
    staging.clock.advance(120)
    await staging.dispatch()
    assert await staging.status("m1") == "sent"
    assert len(smtp_server.accepted) == 1


async def test_under_hold_a_lost_reply_is_uncertain_and_never_repeated(
    staging: RunningService, smtp_server: FaultSMTP
) -> None:
    smtp_server.profile = replace(smtp_server.profile, script="dot.accept.drop")
    await staging.hand_in(mail(on_uncertain="hold"))
    await staging.dispatch()
    staging.clock.advance(86_400)
    await staging.dispatch()
    record = await staging.show("m1")
    assert record["error"].startswith("delivery uncertain")
    assert len(smtp_server.accepted) == 1


async def test_a_broken_smarthost_is_the_accounts_problem(staging: RunningService) -> None:
    await staging.account(transport="redirect", port=1)
    await staging.hand_in(mail())
    await staging.dispatch()
    assert await staging.status("m1") == "queued"
    [account] = (await staging.get("/accounts"))["accounts"]
    assert account["state"] == "broken"


async def test_an_internationalised_original_is_named_in_ascii(
    start_service: StartService, smtp_server: FaultSMTP
) -> None:
    async with start_service() as staging:
        await staging.account(transport="redirect")
        await staging.hand_in(mail(to="jörg@customer.example"))
        await staging.dispatch()
        [copy] = smtp_server.accepted
    assert copy.data.partition(b"\r\n")[0].isascii()
    assert originals(copy.data) == ["jörg@customer.example"]


# --- the outcome of several recipients -------------------------------------------------------------


class Answering(Transport):
    """Gives the targets these dispositions, in order."""

    def __init__(self, *dispositions: Disposition) -> None:
        self._dispositions = dispositions
        self.attempt: Attempt | None = None

    async def send(self, envelope: Envelope, account: Account, attempt: Attempt) -> Delivery:
        self.attempt = attempt
        pairs = zip(envelope.recipients, self._dispositions, strict=False)
        outcomes = tuple(RecipientOutcome(r, d, text=f"{d} by peer") for r, d in pairs)
        return Delivery(outcomes, account_problem=True, charged=False, retry_after=17)


def redirecting_to(inner: Transport) -> RedirectTransport:
    context = LoneContext(name="redirect", transports={"smtp": inner})
    return RedirectTransport(RedirectSettings(recipients=TARGETS), context)


ACCEPTED, TEMPORARY, PERMANENT, UNCERTAIN, UNTRIED = (
    Disposition.ACCEPTED,
    Disposition.TEMPORARY,
    Disposition.PERMANENT,
    Disposition.UNCERTAIN,
    Disposition.UNTRIED,
)


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        (ACCEPTED, ACCEPTED, ACCEPTED),
        (PERMANENT, PERMANENT, PERMANENT),
        (PERMANENT, ACCEPTED, ACCEPTED),
        (TEMPORARY, ACCEPTED, ACCEPTED),
        (ACCEPTED, UNTRIED, ACCEPTED),
        (PERMANENT, TEMPORARY, TEMPORARY),
        (UNTRIED, PERMANENT, UNTRIED),
        (ACCEPTED, UNCERTAIN, UNCERTAIN),
        (UNCERTAIN, PERMANENT, UNCERTAIN),
    ],
)
async def test_one_copy_that_arrived_is_enough_and_doubt_stays_doubt(
    first: Disposition,
    second: Disposition,
    together: Disposition,
    caplog: pytest.LogCaptureFixture,
) -> None:
    inner, attempt = Answering(first, second), NotingAttempt()
    envelope = samples.envelope("m1", "a@x.example", "b@x.example")
    delivery = await redirecting_to(inner).send(envelope, samples.ACCOUNT, attempt)
    assert [(o.recipient, o.disposition) for o in delivery.outcomes] == [
        ("a@x.example", together),
        ("b@x.example", together),
    ]
    assert (delivery.account_problem, delivery.charged, delivery.retry_after) == (True, False, 17)
    assert inner.attempt is attempt
    missing = together is ACCEPTED and {first, second} != {ACCEPTED}
    assert ("no copy for" in caplog.text) is missing


async def test_an_answer_about_somebody_else_is_not_believed() -> None:
    redirect = redirecting_to(Answering(ACCEPTED))  # says nothing of the second target
    with pytest.raises(ValueError, match="answered for other recipients"):
        await redirect.send(samples.envelope("m1"), samples.ACCOUNT, NotingAttempt())


async def test_a_revoked_attempt_goes_through() -> None:
    class Beginning(Answering):
        async def send(self, envelope: Envelope, account: Account, attempt: Attempt) -> Delivery:
            attempt.begin()
            return await super().send(envelope, account, attempt)

    def revoke() -> None:
        raise AttemptRevoked("suspended")

    with pytest.raises(AttemptRevoked):
        await redirecting_to(Beginning()).send(
            samples.envelope("m1"), samples.ACCOUNT, NotingAttempt(at_begin=revoke)
        )


@pytest.mark.parametrize(
    "settings",
    [
        {"recipients": []},
        {"recipients": ["nobody"]},
        {"recipients": ["a@x.example\r\nBcc: b@x.example"]},
        {"recipients": ["a@x.example"], "header": "X-Original-To: x\r\nBcc"},
        {},
    ],
)
def test_settings_that_lead_nowhere_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RedirectSettings(**settings)
