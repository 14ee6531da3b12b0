"""Each step of a script does to a client what the grammar says."""

from __future__ import annotations

import asyncio
import time

import pytest
from raw_smtp import MESSAGE, connect

from asyncmail.testing import FaultSMTP, Profile


async def test_without_a_script_everything_is_taken() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        assert await client.send("bob@fault.test", "bob+news@fault.test") == 250
        assert await client.ask("QUIT") == 221
        assert await client.reply() == b""
    assert server.accepted[0].recipients == ("bob@fault.test", "bob+news@fault.test")
    assert server.accepted[0].data == MESSAGE
    server.assert_clean()


@pytest.mark.parametrize("code", [421, 451, 550])
@pytest.mark.parametrize("verb", ["mail", "rcpt", "data", "dot"])
async def test_a_reply_replaces_the_usual_one(verb: str, code: int) -> None:
    sender = f"x+{verb}.{code}@fault.test"
    async with FaultSMTP() as server, connect(server.port) as client:
        codes = [await client.ask(f"MAIL FROM:<{sender}>")]
        if verb != "mail":
            codes.append(await client.ask("RCPT TO:<bob@fault.test>"))
        if verb in {"data", "dot"}:
            codes.append(await client.ask("DATA"))
        if verb == "dot":
            client.write(MESSAGE + b".\r\n")
            codes.append(int((await client.reply())[:3]))
        assert codes[-1] == code
    assert server.accepted == []


async def test_a_rejected_recipient_is_not_in_the_transaction() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        await client.send("a@fault.test", "x+rcpt.550@fault.test", "x+rcpt.451@fault.test")
    assert server.accepted[0].recipients == ("a@fault.test",)


async def test_a_fault_marked_once_lets_the_retry_pass() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        for address, codes in [
            ("a+rcpt.451.once@f.test", [451, 250, 250]),
            ("b+rcpt.451~2@f.test", [451, 451, 250]),
        ]:
            for code in codes:
                assert await client.ask("MAIL FROM:<app@app.test>") == 250
                assert await client.ask(f"RCPT TO:<{address}>") == code
                assert await client.ask("RSET") == 250


async def test_a_reply_followed_by_drop_closes() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        assert await client.ask("MAIL FROM:<x+mail.421.drop@fault.test>") == 421
        assert await client.reply() == b""


async def test_drop_after_accept_leaves_a_copy_that_nobody_answered() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        assert await client.send("x+dot.accept.drop@fault.test") == 0
        await server.wait_for(lambda: bool(server.unanswered))
    assert len(server.accepted) == 1
    assert server.unanswered == server.accepted


async def test_drop_without_accept_leaves_none() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        assert await client.send("x+dot.drop@fault.test") == 0
    assert server.accepted == server.unanswered == []


async def test_a_copy_with_a_reply_before_the_drop_is_answered() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        assert await client.send("x+dot.accept.250.drop@fault.test") == 250
        assert await client.reply() == b""
        await server.wait_for(lambda: server.concurrent == 0)
    assert server.unanswered == []


@pytest.mark.parametrize("verb", ["rcpt", "data", "dot"])
async def test_rst_resets_the_connection(verb: str) -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        await client.ask(f"MAIL FROM:<x+{verb}.rst@fault.test>")
        client.write(b"RCPT TO:<bob@fault.test>\r\nDATA\r\n")
        client.write(MESSAGE + b".\r\n")
        with pytest.raises(ConnectionResetError):
            await client.reader.read(-1)


async def test_hang_never_answers_and_keeps_the_connection() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        assert await client.send("x+dot.550.rset.hang@fault.test") == 550
        client.write(b"RSET\r\n")
        assert await client.silent()
        assert server.concurrent == 1


async def test_sleep_delays_and_then_goes_on() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        begin = time.monotonic()
        assert await client.send("x+dot.sleep60.accept@fault.test") == 250
        assert await client.send("x+dot.sleep60@fault.test") == 250
        assert time.monotonic() - begin >= 0.12
    assert len(server.accepted) == 2


async def test_a_dot_without_its_reply_is_counted_as_pending() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        assert await client.envelope("x+dot.accept.sleep50@fault.test") == 354
        client.write(MESSAGE + b".\r\n")
        await server.wait_for(lambda: bool(server.accepted))
        assert server.dots_pending == 1
        assert (await client.reply()).startswith(b"250")
        assert server.dots_pending == 0
    assert len(server.accepted) == 1


async def test_drip_sends_the_reply_byte_by_byte() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        client.write(b"MAIL FROM:<x+mail.drip2.451@fault.test>\r\n")
        async with asyncio.timeout(5):
            first = await client.reader.read(100)
        assert len(first) < 10
        assert (first + await client.reply()).startswith(b"451 4.3.0 ")


async def test_drip_alone_never_comes_to_an_end() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        client.write(b"MAIL FROM:<x+mail.drip1@fault.test>\r\n")
        for _ in range(3):
            async with asyncio.timeout(5):
                assert (await client.reader.readline()).startswith(b"250-")


async def test_two_replies_come_for_one_dot() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        assert await client.send("x+dot.accept.250+550@fault.test") == 250
        assert (await client.reply()).startswith(b"550")
    assert len(server.accepted) == 1


async def test_an_early_answer_to_the_dot_means_nothing_is_taken() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        assert await client.envelope("x+data.354+250@fault.test") == 354
        assert (await client.reply()).startswith(b"250")
        client.write(MESSAGE + b".\r\n")
        assert await client.silent()
        assert server.accepted == []
        assert await client.send("bob@fault.test") == 250


@pytest.mark.parametrize(
    "name", ["barelf", "bare", "nodigits", "code99", "binary", "control", "own"]
)
async def test_raw_bytes_go_out_as_they_are(name: str) -> None:
    from asyncmail.testing.faultsmtp.script import RAW

    known = {**RAW, "own": b"220 mine\r\n"}
    profile = Profile(raw={"own": known["own"]})
    async with FaultSMTP(profile=profile) as server, connect(server.port) as client:
        client.write(f"MAIL FROM:<x+mail.raw-{name}.drop@fault.test>\r\n".encode())
        async with asyncio.timeout(5):
            assert await client.reader.read(-1) == known[name]


async def test_a_positive_raw_reply_counts_as_a_reply() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        client.write(b"MAIL FROM:<x+mail.raw-barelf@fault.test>\r\n")
        assert await client.reply() == b"250 2.0.0 ok\n"
        assert await client.ask("RCPT TO:<bob@fault.test>") == 250


async def test_the_body_can_be_cut_in_the_middle() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        assert await client.envelope("x+body.drop@fault.test") == 354
        client.write(b"Subject: half")
        assert await client.reply() == b""
    assert server.accepted == []


async def test_a_stalled_body_closes_the_window() -> None:
    profile = Profile(receive_buffer=4096)
    async with FaultSMTP(profile=profile) as server, connect(server.port) as client:
        assert await client.envelope("x+body.stall@fault.test") == 354
        for _ in range(320):
            client.write(b"x" * 70 + b"\r\n" * 8_000)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.writer.drain()


async def test_a_percentage_is_drawn_from_the_seed() -> None:
    async def refusals(seed: int) -> list[bool]:
        async with FaultSMTP(seed=seed) as server, connect(server.port) as client:
            await client.ask("MAIL FROM:<app@app.test>")
            return [
                await client.ask(f"RCPT TO:<{n}+rcpt.451%20@fault.test>") == 451 for n in range(200)
            ]

    first, again, other = await refusals(1), await refusals(1), await refusals(2)
    assert first == again != other
    assert 20 <= sum(first) <= 60


async def test_a_pipelining_client_gets_its_recipients_mail_clause() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        client.write(b"MAIL FROM:<a@app.test>\r\nRCPT TO:<x+mail.451@fault.test>\r\nDATA\r\n")
        assert [(await client.reply())[:3] for _ in range(3)] == [b"451", b"503", b"503"]
    server.assert_clean()


async def test_a_script_that_is_not_understood_is_refused_and_recorded() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        await client.ask("MAIL FROM:<app@app.test>")
        assert await client.ask("RCPT TO:<x+dot.explode@fault.test>") == 555
    assert [violation.rule for violation in server.violations] == ["script"]
