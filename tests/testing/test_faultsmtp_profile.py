"""What a profile makes of a server: greeting, extensions, TLS, logins, limits."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from dataclasses import replace

import aiosmtplib
import pytest
import trustme
from raw_smtp import MESSAGE, connect

from asyncmail.testing import FaultSMTP, Profile


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_smtplib_delivers() -> None:
    def deliver(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=5) as client:
            client.sendmail("a@app.test", ["b@fault.test"], MESSAGE + b".dot\r\n..dots\r\n")

    async with FaultSMTP() as server:
        await asyncio.to_thread(deliver, server.port)
    assert server.accepted[0].data == MESSAGE + b".dot\r\n..dots\r\n"
    server.assert_clean()


async def test_starttls_and_auth_with_aiosmtplib(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with FaultSMTP(tls=server_tls, auth=("me", "secret")) as server:
        client = aiosmtplib.SMTP(
            hostname="127.0.0.1",
            port=server.port,
            start_tls=True,
            tls_context=client_tls,
            username="me",
            password="secret",
        )
        async with client:
            await client.sendmail("a@app.test", ["b@fault.test"], MESSAGE)
    assert (server.accepted[0].tls[:3], server.accepted[0].user) == ("TLS", "me")
    server.assert_clean()


async def test_implicit_tls_and_auth_with_smtplib(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    def deliver(port: int) -> None:
        with smtplib.SMTP_SSL("127.0.0.1", port, timeout=5, context=client_tls) as client:
            client.login("me", "secret")
            client.sendmail("a@app.test", ["b@fault.test"], MESSAGE)

    profile = Profile(tls=server_tls, implicit_tls=True, auth=("me", "secret"))
    async with FaultSMTP(profile=profile) as server:
        await asyncio.to_thread(deliver, server.port)
    assert server.accepted[0].user == "me"
    server.assert_clean()


async def test_a_client_that_distrusts_the_certificate_leaves(server_tls: ssl.SSLContext) -> None:
    async with FaultSMTP(tls=server_tls) as server:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=server.port, start_tls=True)
        with pytest.raises(ssl.SSLCertVerificationError):
            await client.connect()
        await server.wait_for(lambda: server.concurrent == 0)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_a_wrong_password_is_refused_and_the_change_of_it_holds_at_once(
    mechanism: str,
) -> None:
    profile = Profile(auth=("me", "secret"), mechanisms=(mechanism,), clear_auth=True)
    async with FaultSMTP(profile=profile) as server:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=server.port, start_tls=False)
        async with client:
            with pytest.raises(aiosmtplib.SMTPAuthenticationError):
                await client.login("me", "new")
            with pytest.raises(aiosmtplib.SMTPResponseException, match="530"):
                await client.mail("a@app.test")
            server.profile = replace(profile, auth=("me", "new"))
            await client.login("me", "new")
            await client.mail("a@app.test")
    server.assert_clean()


@pytest.mark.parametrize(
    ("script", "greeting", "ehlo"),
    [
        ("greeting.421.drop", b"421", b""),
        ("greeting.554", b"554", b"250"),
        ("greeting.drop", b"", b""),
        ("ehlo.502", b"220", b"502"),
        ("ehlo.drop", b"220", b""),
    ],
)
async def test_scripts_of_the_profile_hold_for_every_connection(
    script: str, greeting: bytes, ehlo: bytes
) -> None:
    async with FaultSMTP(profile=Profile(script=script)) as server:
        for _ in range(2):
            async with connect(server.port, hello=False) as client:
                assert (await client.reply())[:3] == greeting
                if greeting:
                    client.write(b"EHLO me\r\n")
                    assert (await client.reply())[:3] == ehlo


async def test_helo_works_where_ehlo_is_refused() -> None:
    async with (
        FaultSMTP(profile=Profile(script="ehlo.502")) as server,
        connect(server.port, hello=False) as client,
    ):
        await client.reply()
        assert await client.ask("EHLO me") == 502
        assert await client.ask("HELO me") == 250
        assert await client.send("b@fault.test") == 250


@pytest.mark.parametrize(("step", "expected"), [("454", 454), ("535", 535), ("drop", 0)])
async def test_login_can_fail_in_other_ways(step: str, expected: int) -> None:
    profile = Profile(auth=("me", "secret"), clear_auth=True, script=f"auth.{step}")
    async with FaultSMTP(profile=profile) as server, connect(server.port) as client:
        assert await client.ask("AUTH PLAIN AG1lAHNlY3JldA==") == expected


async def test_starttls_can_be_refused_or_answered_with_more(server_tls: ssl.SSLContext) -> None:
    async with (
        FaultSMTP(profile=Profile(tls=server_tls, script="starttls.454~1")) as server,
        connect(server.port) as client,
    ):
        assert await client.ask("STARTTLS") == 454
    async with (
        FaultSMTP(profile=Profile(tls=server_tls, script="starttls.220+250")) as server,
        connect(server.port) as client,
    ):
        client.write(b"STARTTLS\r\n")
        assert (await client.reply())[:3] == b"220"
        assert (await client.reply())[:3] == b"250"


async def test_extensions_are_those_asked_for(server_tls: ssl.SSLContext) -> None:
    async def offered(server: FaultSMTP) -> bytes:
        async with server, connect(server.port, hello=False) as client:
            await client.reply()
            client.write(b"EHLO me\r\n")
            return await client.reply()

    plain = await offered(FaultSMTP())
    for keyword in (b"PIPELINING", b"8BITMIME", b"SMTPUTF8", b"SIZE", b"ENHANCEDSTATUSCODES"):
        assert keyword in plain
    assert b"STARTTLS" not in plain
    secured = await offered(FaultSMTP(extensions=["SIZE 10"], tls=server_tls, auth=("a", "b")))
    assert b"PIPELINING" not in secured
    assert b"STARTTLS" in secured
    assert b"AUTH" not in secured, "a login is offered only once TLS is on"


async def test_a_message_above_the_size_is_refused_at_mail_and_at_the_dot() -> None:
    async with FaultSMTP(extensions=["SIZE 20"]) as server, connect(server.port) as client:
        assert await client.ask("MAIL FROM:<a@app.test> SIZE=21") == 552
        assert await client.send("b@fault.test") == 552
    assert server.accepted == []


async def test_parameters_that_were_not_offered_are_refused() -> None:
    async with FaultSMTP(extensions=[]) as server, connect(server.port) as client:
        for parameter in ("SMTPUTF8", "BODY=8BITMIME", "SIZE=1"):
            assert await client.ask(f"MAIL FROM:<a@app.test> {parameter}") == 555
    assert {violation.rule for violation in server.violations} == {"syntax"}


async def test_utf8_addresses_need_smtputf8() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        assert await client.ask("MAIL FROM:<é@app.test>") == 553
        assert await client.ask("MAIL FROM:<é@app.test> SMTPUTF8") == 250
        assert await client.ask("RCPT TO:<à@fault.test>") == 250


async def test_recipients_above_the_limit_wait_for_the_next_transaction() -> None:
    profile = Profile(max_recipients=2)
    async with FaultSMTP(profile=profile) as server, connect(server.port) as client:
        await client.ask("MAIL FROM:<a@app.test>")
        codes = [await client.ask(f"RCPT TO:<{n}@fault.test>") for n in range(3)]
    assert codes == [250, 250, 452]


async def test_messages_above_the_limit_of_a_connection_get_421() -> None:
    async with FaultSMTP(profile=Profile(max_messages=1)) as server, connect(server.port) as client:
        assert await client.send("b@fault.test") == 250
        assert await client.ask("MAIL FROM:<a@app.test>") == 421
        assert await client.reply() == b""
    server.assert_clean()


async def test_connections_above_the_limit_get_421_and_the_peak_is_counted() -> None:
    async with (
        FaultSMTP(profile=Profile(max_connections=1)) as server,
        connect(server.port),
        connect(server.port, hello=False) as second,
    ):
        assert (await second.reply())[:3] == b"421"
    assert (server.connections, server.concurrent_max, server.concurrent) == (2, 2, 0)


async def test_an_idle_connection_is_closed_with_421() -> None:
    async with (
        FaultSMTP(profile=Profile(idle_timeout=0.05)) as server,
        connect(server.port) as client,
    ):
        assert (await client.reply())[:3] == b"421"
        assert await client.reply() == b""
