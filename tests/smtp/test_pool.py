"""Connections: how many, for whom, how long, and that none is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from helpers import (
    Attempt,
    Gone,
    ScriptedServer,
    accept_then,
    account,
    drop,
    envelope,
    hang,
    late,
    reply,
    then_close,
)

from asyncmail.builtin.smtp import SmtpTransport
from asyncmail.model import Account, Delivery, Disposition, Priority, Timeouts
from asyncmail.smtp.connect import Connector
from asyncmail.smtp.pool import AccountPool
from asyncmail.testing.clock import ManualClock

MakeTransport = Callable[..., Awaitable[SmtpTransport]]


class Gate:
    """A step at the dot that waits until it is opened; messages are known by their recipient."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.waiting = asyncio.Semaphore(0)

    async def __call__(self, connection) -> None:
        self.waiting.release()
        await self.opened.wait()
        await accept_then(reply("250 ok"))(connection)


def send(
    transport: SmtpTransport, to: Account, name: str = "b", priority: int = Priority.MEDIUM
) -> asyncio.Task[Delivery]:
    message = envelope(f"{name}@example.net", priority=priority)
    return asyncio.ensure_future(transport.send(message, to, Attempt()))


async def all_of(*sending: asyncio.Task[Delivery]) -> list[Disposition]:
    done = await asyncio.wait_for(asyncio.gather(*sending), 10)
    return [delivery.outcomes[0].disposition for delivery in done]


def order(smtp: ScriptedServer) -> list[str]:
    return [envelope[1].partition("@")[0] for envelope, _ in smtp.messages]


async def test_an_account_has_no_more_connections_than_it_may(
    make_transport: MakeTransport,
) -> None:
    transport = await make_transport(max_connections=4, chaining=False)
    async with ScriptedServer() as smtp:
        urgent = [send(transport, account(smtp.port), priority=n % 4) for n in range(40)]
        assert set(await all_of(*urgent)) == {Disposition.ACCEPTED}
        assert 1 < len(smtp.connections) <= 4
        other = account(smtp.port, id="one", max_connections=1)
        before = len(smtp.connections)
        await all_of(*(send(transport, other) for _ in range(10)))
        assert len(smtp.connections) == before + 1


async def test_one_connection_is_kept_for_immediate_messages(
    make_transport: MakeTransport,
) -> None:
    transport = await make_transport(max_connections=3)
    gate = Gate()
    async with ScriptedServer({"DOT": gate}, extensions=()) as smtp:
        to = account(smtp.port)
        ordinary = [send(transport, to, priority=Priority.HIGH) for _ in range(5)]
        await gate.waiting.acquire()
        await gate.waiting.acquire()
        assert len(smtp.connections) == 2
        immediate = send(transport, to, "now", Priority.IMMEDIATE)
        await gate.waiting.acquire()
        gate.opened.set()
        await all_of(immediate, *ordinary)
        assert len(smtp.connections) == 3


async def test_those_who_wait_are_served_by_priority_then_arrival(
    make_transport: MakeTransport,
) -> None:
    transport = await make_transport(max_connections=1)
    gate = Gate()
    async with ScriptedServer({"DOT": gate}, extensions=()) as smtp:
        to = account(smtp.port)
        sending = [send(transport, to, "first")]
        await gate.waiting.acquire()
        for name, priority in [("low", 3), ("high1", 1), ("now", 0), ("high2", 1)]:
            sending.append(send(transport, to, name, priority))
        await asyncio.sleep(0)
        gone = send(transport, to, "gone", 0)
        await asyncio.sleep(0)
        gone.cancel()
        gate.opened.set()
        await all_of(*sending)
        assert order(smtp) == ["first", "now", "high1", "high2", "low"]
        assert transport.connections() == {"busy": 0, "idle": 1}


async def test_a_slot_given_to_one_who_leaves_goes_to_the_next(clock: ManualClock) -> None:
    connect = Connector(Timeouts(), local_hostname="client.test", ca_file=None)
    await connect.start()
    async with ScriptedServer() as smtp:
        pool = AccountPool(account(smtp.port), connect, clock, 1)
        lease = await pool.acquire(Priority.MEDIUM, Attempt().progress)
        leaving = asyncio.ensure_future(pool.acquire(Priority.MEDIUM, Attempt().progress))
        await asyncio.sleep(0)
        with lease:
            pass
        leaving.cancel()  # before it could look at what it was given
        await asyncio.gather(leaving, return_exceptions=True)
        with await asyncio.wait_for(pool.acquire(Priority.LOW, Attempt().progress), 5) as next_one:
            assert next_one.session is lease.session
        await pool.close(1)


async def test_waiting_for_a_connection_is_no_silence(
    make_transport: MakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncmail.smtp.pool.PULSE", 0.01)
    transport = await make_transport(max_connections=1)
    moved = asyncio.Event()
    waiting = Attempt()
    waiting.progress = moved.set  # type: ignore[method-assign]
    gate = Gate()
    async with ScriptedServer({"DOT": gate}, extensions=()) as smtp:
        first = send(transport, account(smtp.port))
        await gate.waiting.acquire()
        second = asyncio.ensure_future(transport.send(envelope(), account(smtp.port), waiting))
        await asyncio.wait_for(moved.wait(), 5)
        assert waiting.calls == []
        gate.opened.set()
        assert await all_of(first, second) == [Disposition.ACCEPTED] * 2


@pytest.mark.fault("smtp.tarpit")
async def test_one_accounts_tarpit_is_not_anothers(make_transport: MakeTransport) -> None:
    transport = await make_transport(max_connections=2)
    async with ScriptedServer({"MAIL": hang}) as tarpit, ScriptedServer() as smtp:
        stuck = [send(transport, account(tarpit.port)) for _ in range(5)]
        assert await all_of(send(transport, account(smtp.port))) == [Disposition.ACCEPTED]
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        assert transport.connections()["busy"] == 0


async def test_a_connection_is_used_again(transport: SmtpTransport) -> None:
    async with ScriptedServer() as smtp:
        for _ in range(5):
            await all_of(send(transport, account(smtp.port)))
        assert len(smtp.connections) == 1
        assert len(smtp.messages) == 5


async def test_an_idle_connection_is_closed_with_quit_after_its_ttl(
    make_transport: MakeTransport, clock: ManualClock
) -> None:
    transport = await make_transport()
    said = asyncio.Event()

    async def bye(connection) -> None:
        said.set()
        await then_close("221 bye")(connection)

    async with ScriptedServer({"QUIT": bye}) as smtp:
        to = account(smtp.port, ttl=0.05)
        await all_of(send(transport, to))
        assert transport.connections() == {"busy": 0, "idle": 1}
        clock.advance(1)
        await asyncio.wait_for(said.wait(), 5)
        assert transport.connections() == {"busy": 0, "idle": 0}


async def test_a_connection_idle_for_long_is_tried_before_it_gets_a_message(
    hasty: SmtpTransport, clock: ManualClock
) -> None:
    async with ScriptedServer({"NOOP": [reply("250 ok"), hang]}) as smtp:
        for _ in range(3):
            assert await all_of(send(hasty, account(smtp.port))) == [Disposition.ACCEPTED]
            clock.advance(31)
        assert smtp.commands.count("NOOP") == 2
        assert len(smtp.connections) == 2
        clock.advance(1)
        await all_of(send(hasty, account(smtp.port)))


async def test_a_send_cancelled_while_its_connection_is_tried_leaves_none_behind(
    transport: SmtpTransport, clock: ManualClock
) -> None:
    asked = asyncio.Event()

    async def say_nothing(connection) -> None:
        asked.set()
        await connection.reader.read()
        raise Gone

    async with ScriptedServer({"NOOP": say_nothing}) as smtp:
        await all_of(send(transport, account(smtp.port)))
        clock.advance(31)
        sending = send(transport, account(smtp.port))
        await asked.wait()
        sending.cancel()
        await asyncio.wait_for(smtp.connections[0].ended.wait(), 2)
        assert transport.connections() == {"busy": 0, "idle": 0}


async def test_a_connection_left_in_a_transaction_is_reset_before_the_next(
    transport: SmtpTransport,
) -> None:
    async with ScriptedServer({"RCPT": [reply("550 no"), reply("250 ok")]}) as smtp:
        to = account(smtp.port)
        assert await all_of(send(transport, to)) == [Disposition.PERMANENT]
        assert await all_of(send(transport, to)) == [Disposition.ACCEPTED]
        assert len(smtp.connections) == 1
        assert smtp.commands.count("RSET") == 1


@pytest.mark.fault("smtp.421_between_messages")
@pytest.mark.parametrize("step", [then_close("421 4.7.0 enough"), drop], ids=["421", "drop"])
async def test_a_kept_connection_that_ended_costs_the_message_nothing(
    transport: SmtpTransport, step
) -> None:
    async with ScriptedServer({"MAIL": [reply("250 ok"), step, reply("250 ok")]}) as smtp:
        to = account(smtp.port)
        for _ in range(2):
            assert await all_of(send(transport, to)) == [Disposition.ACCEPTED]
        assert len(smtp.messages) == len(smtp.connections) == 2


async def test_a_second_421_in_a_row_is_the_answer(transport: SmtpTransport) -> None:
    script = [reply("250 ok"), then_close("421 4.7.0 enough")]
    async with ScriptedServer({"MAIL": script}) as smtp:
        to = account(smtp.port)
        await all_of(send(transport, to))
        delivery = await send(transport, to)
        assert delivery.outcomes[0].code == 421
        assert len(smtp.connections) == 2


async def test_a_connection_that_ends_while_idle_is_not_used(transport: SmtpTransport) -> None:
    async def last(connection) -> None:
        await accept_then(then_close("250 ok"))(connection)

    async with ScriptedServer({"DOT": last}) as smtp:
        to = account(smtp.port)
        for _ in range(3):
            assert await all_of(send(transport, to)) == [Disposition.ACCEPTED]
        assert len(smtp.connections) == 3


async def test_an_old_revision_finishes_its_message_and_goes(
    make_transport: MakeTransport,
) -> None:
    transport = await make_transport()
    gate = Gate()
    async with ScriptedServer({"DOT": gate}) as smtp:
        sending = send(transport, account(smtp.port))
        await gate.waiting.acquire()
        newer = send(transport, account(smtp.port, revision=1))
        await gate.waiting.acquire()
        gate.opened.set()
        assert await all_of(sending, newer) == [Disposition.ACCEPTED] * 2
        assert transport.connections() == {"busy": 0, "idle": 1}


async def test_stopping_says_quit_and_leaves_nothing(make_transport: MakeTransport) -> None:
    transport = await make_transport()
    gate = Gate()
    async with ScriptedServer({"DOT": [accept_then(reply("250 ok")), gate]}) as smtp:
        to = account(smtp.port, max_connections=1)
        await all_of(send(transport, to))
        under_way, waiting = send(transport, to), send(transport, to)
        await gate.waiting.acquire()
        await asyncio.wait_for(transport.stop(), 5)
        assert await all_of(under_way, waiting) == [Disposition.UNCERTAIN, Disposition.TEMPORARY]
        assert transport.connections() == {"busy": 0, "idle": 0}


async def test_stopping_waits_only_so_long_for_an_answer_to_quit(
    make_transport: MakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncmail.smtp.sender.CLOSE_SECONDS", 0.1)
    transport = await make_transport()
    async with ScriptedServer({"QUIT": hang}) as smtp:
        await all_of(send(transport, account(smtp.port)))
        await asyncio.wait_for(transport.stop(), 1)
        assert smtp.commands[-1] == "QUIT"


# --- chaining ------------------------------------------------------------------------------------


async def test_the_next_envelope_goes_behind_the_dot(make_transport: MakeTransport) -> None:
    transport = await make_transport()
    gate, begun = Gate(), asyncio.Event()
    second = Attempt()
    second.begin = begun.set  # type: ignore[method-assign]
    async with ScriptedServer({"DOT": gate}) as smtp:
        to = account(smtp.port, max_connections=1)
        first = send(transport, to, "one")
        await asyncio.sleep(0)
        chained = asyncio.ensure_future(transport.send(envelope("two@example.net"), to, second))
        await gate.waiting.acquire()
        await asyncio.wait_for(begun.wait(), 5)
        assert not first.done()
        gate.opened.set()
        assert await all_of(first, chained) == [Disposition.ACCEPTED] * 2
        assert order(smtp) == ["one", "two"]
        assert len(smtp.connections) == 1


async def test_without_pipelining_nothing_goes_behind_a_dot(make_transport: MakeTransport) -> None:
    transport = await make_transport()
    gate = Gate()
    async with ScriptedServer({"DOT": gate}, extensions=()) as smtp:
        to = account(smtp.port, max_connections=1)
        first, second = send(transport, to, "one"), Attempt()
        await asyncio.sleep(0)
        waiting = asyncio.ensure_future(transport.send(envelope("two@example.net"), to, second))
        await gate.waiting.acquire()
        for _ in range(10):
            await asyncio.sleep(0)
        assert second.calls == []
        gate.opened.set()
        assert await all_of(first, waiting) == [Disposition.ACCEPTED] * 2


async def test_a_drop_at_the_dot_is_uncertain_for_one_and_nothing_for_the_next(
    make_transport: MakeTransport,
) -> None:
    transport = await make_transport()
    script = {"DOT": [late(0.05, drop), accept_then(reply("250 ok"))]}
    async with ScriptedServer(script) as smtp:
        to = account(smtp.port, max_connections=1)
        sending = send(transport, to, "one"), send(transport, to, "two")
        assert await all_of(*sending) == [Disposition.UNCERTAIN, Disposition.ACCEPTED]
        assert order(smtp) == ["two"]


@pytest.mark.parametrize("extra", ["550 5.0.0 no", "250 ok"])
async def test_a_second_reply_to_the_dot_is_not_taken_for_the_next_ones(
    make_transport: MakeTransport, extra: str
) -> None:
    transport = await make_transport()
    double = accept_then(late(0.05, reply(f"250 ok\r\n{extra}")))
    async with ScriptedServer({"DOT": [double, accept_then(reply("250 ok"))]}) as smtp:
        to = account(smtp.port, max_connections=1)
        sending = send(transport, to, "one"), send(transport, to, "two")
        assert await all_of(*sending) == [Disposition.ACCEPTED] * 2
        assert order(smtp) == ["one", "two"]


async def test_a_server_that_does_not_stand_chaining_is_spared_it(
    make_transport: MakeTransport, caplog: pytest.LogCaptureFixture
) -> None:
    transport = await make_transport()
    script = {"DOT": [late(0.05, drop), late(0.05, accept_then(reply("250 ok")))]}
    async with ScriptedServer(script) as smtp:
        to = account(smtp.port, max_connections=1)
        await all_of(*(send(transport, to) for _ in range(4)))
        assert len(smtp.messages) == 3
        assert sum("behind a dot" in record.message for record in caplog.records) == 1


async def test_a_cancelled_message_leaves_the_one_before_its_reply(
    make_transport: MakeTransport,
) -> None:
    transport = await make_transport()
    gate = Gate()
    async with ScriptedServer({"DOT": gate}) as smtp:
        to = account(smtp.port, max_connections=1)
        first, second = send(transport, to, "one"), send(transport, to, "two")
        await gate.waiting.acquire()
        for _ in range(5):
            await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        gate.opened.set()
        assert await all_of(first) == [Disposition.ACCEPTED]
        assert order(smtp) == ["one"]
        await asyncio.wait_for(smtp.connections[0].ended.wait(), 5)
        assert transport.connections() == {"busy": 0, "idle": 0}
