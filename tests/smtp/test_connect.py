"""The way to a session: TLS as the account wants it, login, and errors that say whose fault it is."""

from __future__ import annotations

import asyncio
import base64
import datetime
import ssl
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from helpers import (
    Attempt,
    ScriptedServer,
    Step,
    account,
    drop,
    envelope,
    hang,
    raw,
    reply,
    reset,
    then_close,
)

from asyncmail.builtin.smtp import SmtpTransport
from asyncmail.errors import ConfigurationError
from asyncmail.model import Account, Delivery, Disposition, Tls

MakeTransport = Callable[..., Awaitable[SmtpTransport]]

LOGIN = {"user": "me@shop.test", "password": "s3cret-w0rd"}
AUTH = ("PIPELINING", "AUTH PLAIN LOGIN CRAM-MD5")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
async def trusting(make_transport: MakeTransport, ca_file: Path) -> SmtpTransport:
    """A transport that trusts the authority of these tests."""
    return await make_transport(ca_file=ca_file)


def server_tls(authority: trustme.CA, *names: str, **certificate: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or ("127.0.0.1",)), **certificate).configure_cert(context)
    return context


async def send(transport: SmtpTransport, to: Account) -> Delivery:
    return await asyncio.wait_for(transport.send(envelope(), to, Attempt()), 10)


def problem(delivery: Delivery) -> str:
    """The text of an account problem, which is temporary and costs the message nothing."""
    assert delivery.account_problem
    assert not delivery.charged
    assert not delivery.transaction_begun
    (outcome,) = delivery.outcomes
    assert outcome.disposition is Disposition.TEMPORARY
    return outcome.text


def accepted(delivery: Delivery) -> bool:
    return delivery.outcomes[0].disposition is Disposition.ACCEPTED


def words(smtp: ScriptedServer) -> list[str]:
    return [command.split(" ")[0] for command in smtp.commands]


# --- each phase, each failure --------------------------------------------------------------------


@pytest.mark.fault("smtp.421", "smtp.failure_before_mail")
@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "STARTTLS", "AUTH"])
@pytest.mark.parametrize(
    "step",
    [
        then_close("421 4.3.2 bye"),
        reply("454 4.3.0 later"),
        reply("554 5.7.1 go away"),
        drop,
        reset,
        hang,
        raw(b"garbage\r\n"),
    ],
    ids=["421", "454", "554", "drop", "reset", "hang", "garbage"],
)
async def test_a_failure_before_mail_is_the_accounts(
    make_transport: MakeTransport, authority: trustme.CA, ca_file: Path, verb: str, step: Step
) -> None:
    transport = await make_transport(ca_file=ca_file, timeouts={"connect": 0.3, "command": 0.3})
    script = {verb: step, "HELO": reply("250 hello")}
    async with ScriptedServer(script, extensions=AUTH, tls=server_tls(authority)) as smtp:
        to = account(smtp.port, tls=Tls.REQUIRED, **LOGIN)
        text = problem(await send(transport, to))
        assert f"'{to.id}'" in text
        assert LOGIN["password"] not in text
        assert "MAIL" not in words(smtp)
        assert transport.connections() == {"busy": 0, "idle": 0}


async def test_nobody_listening_is_the_accounts_problem(transport: SmtpTransport) -> None:
    async with ScriptedServer() as smtp:
        pass
    assert f"cannot reach 127.0.0.1:{smtp.port}" in problem(
        await send(transport, account(smtp.port))
    )


async def test_an_unknown_host_and_no_host_are_the_accounts_problem(
    transport: SmtpTransport,
) -> None:
    unknown = account(25, host="nowhere.invalid")
    assert "cannot find the address of nowhere.invalid" in problem(await send(transport, unknown))
    assert "has no host" in problem(await send(transport, account(26, host="")))
    odd = account(27, host="a\r\nb")
    assert "cannot find the address of a\\r\\nb" in problem(await send(transport, odd))


@pytest.mark.fault("smtp.no_ehlo")
async def test_helo_is_tried_where_ehlo_is_not_known(transport: SmtpTransport) -> None:
    async with ScriptedServer({"EHLO": reply("502 what?")}) as smtp:
        assert accepted(await send(transport, account(smtp.port)))
        assert words(smtp)[:2] == ["EHLO", "HELO"]


# --- TLS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [Tls.REQUIRED, Tls.OPPORTUNISTIC])
async def test_starttls_comes_before_login_and_mail(
    trusting: SmtpTransport, authority: trustme.CA, tls: Tls
) -> None:
    async with ScriptedServer(extensions=AUTH, tls=server_tls(authority)) as smtp:
        assert accepted(await send(trusting, account(smtp.port, tls=tls, **LOGIN)))
        assert accepted(await send(trusting, account(smtp.port, tls=tls, **LOGIN)))
        order = ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "."]
        assert words(smtp) == [*order, "MAIL", "RCPT", "DATA", "."]


async def test_implicit_tls_speaks_tls_from_the_start(
    trusting: SmtpTransport, authority: trustme.CA
) -> None:
    context = server_tls(authority)
    async with ScriptedServer(extensions=AUTH, tls=context, implicit=True) as smtp:
        assert accepted(await send(trusting, account(smtp.port, tls=Tls.IMPLICIT, **LOGIN)))
        assert words(smtp) == ["EHLO", "AUTH", "MAIL", "RCPT", "DATA", "."]


@pytest.mark.fault("smtp.starttls_missing")
async def test_required_tls_that_is_not_offered_sends_nothing_in_clear(
    transport: SmtpTransport,
) -> None:
    async with ScriptedServer(extensions=AUTH) as smtp:
        text = problem(await send(transport, account(smtp.port, tls=Tls.REQUIRED, **LOGIN)))
        assert "offers no STARTTLS" in text
        assert words(smtp) == ["EHLO"]


@pytest.mark.fault("smtp.no_ehlo")
async def test_helo_is_no_way_around_required_tls(
    transport: SmtpTransport, authority: trustme.CA
) -> None:
    script = {"EHLO": reply("502 what?")}
    async with ScriptedServer(script, tls=server_tls(authority)) as smtp:
        problem(await send(transport, account(smtp.port, tls=Tls.REQUIRED, **LOGIN)))
        assert words(smtp) == ["EHLO", "HELO"]


async def test_opportunistic_tls_goes_on_without_where_it_is_not_offered(
    transport: SmtpTransport,
) -> None:
    async with ScriptedServer() as smtp:
        assert accepted(await send(transport, account(smtp.port, tls=Tls.OPPORTUNISTIC)))


@pytest.mark.fault("smtp.starttls_injection")
async def test_words_injected_before_the_handshake_are_never_read_as_replies(
    trusting: SmtpTransport, authority: trustme.CA
) -> None:
    injected = raw(b"220 go ahead\r\n250-evil\r\n250-AUTH PLAIN\r\n250 SIZE 1\r\n")
    async with ScriptedServer({"STARTTLS": injected}, tls=server_tls(authority)) as smtp:
        delivery = await send(trusting, account(smtp.port, tls=Tls.REQUIRED))
        if not accepted(delivery):
            problem(delivery)
        assert not any("SIZE=1" in c or c.startswith("AUTH") for c in smtp.commands)


@pytest.mark.fault("smtp.starttls_garbage")
async def test_garbage_in_place_of_the_handshake_is_the_accounts_problem(
    transport: SmtpTransport,
) -> None:
    script = {"STARTTLS": [raw(b"220 go\r\n"), raw(b"")]}
    async with ScriptedServer(script, extensions=("STARTTLS",)) as smtp:
        problem(await send(transport, account(smtp.port, tls=Tls.REQUIRED)))
        assert "MAIL" not in words(smtp)


YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)

BAD: dict[str, tuple[str, Callable[[trustme.CA], ssl.SSLContext]]] = {
    "expired": ("expired", lambda ca: server_tls(ca, not_after=YESTERDAY)),
    "another host": ("mismatch", lambda ca: server_tls(ca, "mail.example.net")),
    "unknown authority": ("self-signed|issuer", lambda _: server_tls(trustme.CA())),
}


@pytest.mark.fault("smtp.bad_certificate")
@pytest.mark.parametrize("tls", [Tls.REQUIRED, Tls.OPPORTUNISTIC, Tls.IMPLICIT])
@pytest.mark.parametrize(("why", "context"), BAD.values(), ids=BAD)
async def test_a_certificate_that_proves_nothing_is_refused_unless_the_account_says_so(
    trusting: SmtpTransport,
    authority: trustme.CA,
    tls: Tls,
    why: str,
    context: Callable[[trustme.CA], ssl.SSLContext],
) -> None:
    implicit = tls is Tls.IMPLICIT
    async with ScriptedServer(extensions=AUTH, tls=context(authority), implicit=implicit) as smtp:
        text = problem(await send(trusting, account(smtp.port, tls=tls, **LOGIN)))
        assert "certificate was not accepted" in text
        assert any(word in text for word in why.split("|"))
        assert not {"AUTH", "MAIL"} & set(words(smtp))
        careless = account(smtp.port, id="careless", tls=tls, verify=False, **LOGIN)
        assert accepted(await send(trusting, careless))


@pytest.mark.fault("smtp.old_tls")
async def test_tls_below_1_2_is_refused(trusting: SmtpTransport, authority: trustme.CA) -> None:
    old = server_tls(authority)
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with ScriptedServer(tls=old, implicit=True) as smtp:
        text = problem(await send(trusting, account(smtp.port, tls=Tls.IMPLICIT, verify=False)))
        assert "TLS failed" in text or "closed the connection" in text


@pytest.mark.fault("smtp.wrong_port")
async def test_the_wrong_kind_of_port_is_named(
    make_transport: MakeTransport, authority: trustme.CA
) -> None:
    transport = await make_transport(timeouts={"connect": 0.3})
    async with ScriptedServer() as smtp:
        text = problem(await send(transport, account(smtp.port, tls=Tls.IMPLICIT)))
        assert "does not speak TLS" in text or "no answer in time" in text
    async with ScriptedServer(tls=server_tls(authority), implicit=True) as smtp:
        text = problem(await send(transport, account(smtp.port, tls=Tls.REQUIRED)))
        assert "tls = implicit" in text


async def test_a_certificate_file_that_is_not_there_stops_the_start(
    make_transport: MakeTransport, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.pem"):
        await make_transport(ca_file=tmp_path / "gone.pem")


# --- login ---------------------------------------------------------------------------------------


@pytest.mark.fault("smtp.wrong_password")
async def test_a_wrong_password_is_said_so_and_tried_once(transport: SmtpTransport) -> None:
    script = {"AUTH": reply("535 5.7.8 no: s3cret-w0rd")}
    async with ScriptedServer(script, extensions=AUTH) as smtp:
        to = account(smtp.port, **LOGIN)
        text = problem(await send(transport, to))
        assert text == (
            f"account '{to.id}' refused login (535 5.7.8 no: ***): check user and password"
        )
        assert words(smtp).count("AUTH") == 1


async def test_the_password_is_masked_in_any_spelling(transport: SmtpTransport) -> None:
    plain = base64.b64encode(b"\0me@shop.test\0s3cret-w0rd").decode()
    only = base64.b64encode(b"s3cret-w0rd").decode()
    script = {"AUTH": reply(f"535 {plain} {only}")}
    async with ScriptedServer(script, extensions=AUTH) as smtp:
        text = problem(await send(transport, account(smtp.port, **LOGIN)))
        assert "535 *** ***" in text


async def test_another_mechanism_is_tried_where_the_first_is_not_taken(
    transport: SmtpTransport,
) -> None:
    script = {"AUTH": [reply("504 5.5.4 no PLAIN"), raw(b"334 VXNlcg==\r\n")]}
    async with ScriptedServer(script, extensions=("AUTH PLAIN LOGIN",)) as smtp:
        problem(await send(transport, account(smtp.port, **LOGIN)))
        assert [c for c in smtp.commands if c.startswith("AUTH")][1].startswith("AUTH LOGIN")


@pytest.mark.fault("smtp.no_mechanism")
@pytest.mark.parametrize("extensions", [("PIPELINING",), ("AUTH GSSAPI",)])
async def test_no_way_to_log_in_is_the_accounts_problem(
    transport: SmtpTransport, extensions: tuple[str, ...]
) -> None:
    async with ScriptedServer(extensions=extensions) as smtp:
        assert "cannot log in" in problem(await send(transport, account(smtp.port, **LOGIN)))
        assert "MAIL" not in words(smtp)


@pytest.mark.fault("smtp.starttls_missing")
async def test_a_password_crosses_no_network_in_clear(
    transport: SmtpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncmail.smtp.connect._is_loopback", lambda client: False)
    async with ScriptedServer(extensions=AUTH) as smtp:
        for tls in (Tls.NONE, Tls.OPPORTUNISTIC):
            text = problem(await send(transport, account(smtp.port, id=tls, tls=tls, **LOGIN)))
            assert "in clear text" in text
        assert "AUTH" not in words(smtp)


async def test_a_changed_password_is_used_at_once_and_old_connections_go(
    transport: SmtpTransport,
) -> None:
    async with ScriptedServer(extensions=AUTH) as smtp:
        assert accepted(await send(transport, account(smtp.port, **LOGIN)))
        changed = account(smtp.port, user="me@shop.test", password="new", revision=1)
        assert accepted(await send(transport, changed))
        assert accepted(await send(transport, changed))
        logins = [c for c in smtp.commands if c.startswith("AUTH")]
        assert len(logins) == 2
        assert base64.b64decode(logins[1].split(" ")[2]).endswith(b"\0new")
        assert transport.connections() == {"busy": 0, "idle": 1}


async def test_an_accounts_own_timeouts_count(transport: SmtpTransport) -> None:
    async with ScriptedServer({"MAIL": hang}) as smtp:
        to = account(smtp.port, timeouts={"command": 0.05})
        (outcome,) = (await send(transport, to)).outcomes
        assert "within 0.05 s" in outcome.text
