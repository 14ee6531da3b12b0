"""Strict mode catches each thing that a client may not do."""

from __future__ import annotations

import ssl

import pytest
import trustme
from raw_smtp import MESSAGE, RawClient, connect

from asyncmail.testing import FaultSMTP, Profile


def rules(server: FaultSMTP) -> set[str]:
    return {violation.rule for violation in server.violations}


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"Subject: x\n\r\nbody\r\n", "bare-newline"),
        (b"Subject: x\r\n\r\nbo\rdy\r\n", "bare-newline"),
        (b"Subject: x\r\n\r\n" + b"x" * 999 + b"\r\n", "line-too-long"),
        (b"Subject: x\r\n\r\n.single\r\n", "dot-stuffing"),
        (b".Subject: x\r\n\r\n", "dot-stuffing"),
        (b"Subject: x\r\nBCC: b@fault.test\r\n\r\n", "bcc-header"),
        (b"Resent-Bcc: b@fault.test\r\n\r\n", "bcc-header"),
        ("Subject: é\r\n\r\n".encode(), "8bit"),
    ],
)
async def test_message_data_that_breaks_a_rule(data: bytes, rule: str) -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        assert await client.send("b@fault.test", data=data) == 250
    assert rules(server) == {rule}
    with pytest.raises(AssertionError, match=rule):
        server.assert_clean()


@pytest.mark.parametrize(
    "data",
    [
        b"Subject: x\r\n\r\n" + b"x" * 998 + b"\r\n",
        b"Subject: x\r\n\r\n.." + b"x" * 997 + b"\r\n",
        b"Subject: x\r\n\r\n..\r\n..dotted\r\nBcc: in the body\r\n",
        b"",
    ],
)
async def test_message_data_at_the_edge_of_the_rules_is_clean(data: bytes) -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        assert await client.send("b@fault.test", data=data) == 250
    server.assert_clean()


@pytest.mark.parametrize("fake_end", [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\r", b"\r\n.\n"])
async def test_only_crlf_dot_crlf_ends_a_message(fake_end: bytes) -> None:
    data = b"Subject: x\r\n\r\none" + fake_end + b"MAIL FROM:<two@app.test>\r\n"
    async with FaultSMTP() as server, connect(server.port) as client:
        assert await client.send("b@fault.test", data=data) == 250
    assert len(server.accepted) == 1
    assert "bare-newline" in rules(server)


@pytest.mark.parametrize("command", [b"NOOP", b"EHLO me", b"DATA", b"QUIT"])
async def test_more_behind_a_command_whose_reply_must_be_awaited(command: bytes) -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        client.write(command + b"\r\nRSET\r\n")
        await client.reply()
    assert "pipelining" in rules(server)


async def test_message_data_before_the_reply_to_data() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        await client.ask("MAIL FROM:<a@app.test>")
        await client.ask("RCPT TO:<b@fault.test>")
        client.write(b"DATA\r\n" + MESSAGE + b".\r\n")
        await client.reply()
        await client.reply()
    assert rules(server) == {"pipelining"}


async def test_any_command_behind_another_where_pipelining_is_not_offered() -> None:
    async with FaultSMTP(extensions=[]) as server, connect(server.port) as client:
        client.write(b"RSET\r\nRSET\r\n")
        await client.reply()
        await client.reply()
    assert rules(server) == {"pipelining"}


async def test_a_command_while_a_slow_reply_is_awaited() -> None:
    async with (
        FaultSMTP(profile=Profile(script="noop.sleep50")) as server,
        connect(server.port) as client,
    ):
        client.write(b"NOOP\r\n")
        assert await client.silent(0.01)
        client.write(b"RSET\r\n")
        await client.reply()
        await client.reply()
    assert rules(server) == {"pipelining"}


async def test_talking_before_the_greeting() -> None:
    async with (
        FaultSMTP(profile=Profile(script="greeting.sleep50")) as server,
        connect(server.port, hello=False) as client,
    ):
        client.write(b"EHLO me\r\n")
        await client.reply()
    assert rules(server) == {"pipelining"}


async def test_a_pipelined_group_and_an_envelope_behind_the_dot_are_clean() -> None:
    group = (
        b"MAIL FROM:<a@app.test>\r\nRCPT TO:<b@fault.test>\r\nRCPT TO:<c@fault.test>\r\nDATA\r\n"
    )
    async with FaultSMTP() as server, connect(server.port) as client:
        client.write(group)
        assert [(await client.reply())[:3] for _ in range(4)] == [b"250", b"250", b"250", b"354"]
        client.write(MESSAGE + b".\r\n" + group)
        assert [(await client.reply())[:3] for _ in range(5)] == [b"250"] * 4 + [b"354"]
    server.assert_clean()


async def test_mail_without_ehlo() -> None:
    async with FaultSMTP() as server, connect(server.port, hello=False) as client:
        await client.reply()
        assert await client.ask("MAIL FROM:<a@app.test>") == 503
    assert rules(server) == {"no-ehlo"}


async def test_mail_after_starttls_without_a_new_ehlo() -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with FaultSMTP(tls=context) as server, connect(server.port) as client:
        assert await client.ask("STARTTLS") == 220
        await client.writer.start_tls(trusting, server_hostname="127.0.0.1")
        secure = RawClient(client.reader, client.writer)
        assert await secure.ask("MAIL FROM:<a@app.test>") == 503
        assert await secure.ask("EHLO me") == 250
        assert await secure.ask("MAIL FROM:<a@app.test>") == 250
    assert [violation.rule for violation in server.violations] == ["no-ehlo"]


async def test_a_login_in_clear() -> None:
    async with FaultSMTP(auth=("me", "secret")) as server, connect(server.port) as client:
        assert await client.ask("AUTH PLAIN AG1lAHNlY3JldA==") == 235
    assert rules(server) == {"auth-in-clear"}


async def test_going_on_after_421() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        assert await client.ask("MAIL FROM:<x+mail.421@fault.test>") == 421
        assert server.violations == []
        assert await client.ask("RSET") == 421
    assert rules(server) == {"after-421"}


async def test_quit_after_421_and_what_was_sent_before_it_are_clean() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        client.write(b"MAIL FROM:<x+mail.421@fault.test>\r\nRCPT TO:<b@fault.test>\r\nDATA\r\n")
        for _ in range(3):
            assert (await client.reply())[:3] == b"421"
        assert await client.ask("QUIT") == 421
    server.assert_clean()


@pytest.mark.parametrize("line", ["MAIL FROM:a@app.test", "HELP", "MAIL FROM:<a@app.test> X=1"])
async def test_bad_syntax(line: str) -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        assert await client.ask(line) >= 500
    assert rules(server) == {"syntax"}


async def test_a_bare_newline_in_a_command() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        client.write(b"NOOP\n")
        await client.reply()
    assert rules(server) == {"bare-newline"}


async def test_a_lenient_server_records_nothing() -> None:
    async with FaultSMTP(strict=False) as server, connect(server.port) as client:
        await client.send("b@fault.test", data=b"Bcc: x\n\r\n")
    assert server.violations == []
