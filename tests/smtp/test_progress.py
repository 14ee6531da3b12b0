"""Signs of life: what has a clock of its own is not cut short by somebody who waits for progress."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from helpers import Attempt, Connection, Gone, ScriptedServer, account, envelope

from asyncmail.builtin.smtp import SmtpTransport
from asyncmail.model import Envelope
from asyncmail.smtp.pool import NOOP_AFTER
from asyncmail.smtp.session import CHUNK
from asyncmail.testing.clock import ManualClock

MakeTransport = Callable[..., Awaitable[SmtpTransport]]
LOGIN = {"user": "me", "password": "s3cret-w0rd"}


class Silence:
    """A step at which the server falls silent and deaf, after ``first`` was said."""

    def __init__(self, first: str = "") -> None:
        self.begun = asyncio.Event()
        self._first = first

    async def __call__(self, connection: Connection) -> None:
        if self._first:
            connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await connection.say(self._first)
        self.begun.set()
        await connection.server.closing.wait()
        raise Gone


class Living(Attempt):
    """An attempt whose signs of life can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._moved = asyncio.Condition()
        self._waking: set[asyncio.Task[None]] = set()

    def progress(self) -> None:
        super().progress()
        self._waking.add(task := asyncio.ensure_future(self._wake()))
        task.add_done_callback(self._waking.discard)

    async def _wake(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def lives(self, signs: int) -> None:
        """Fails unless there are this many more signs of life soon."""
        wanted = self.moves + signs
        async with asyncio.timeout(5), self._moved:
            await self._moved.wait_for(lambda: self.moves >= wanted)


@pytest.fixture
async def transport(
    make_transport: MakeTransport, monkeypatch: pytest.MonkeyPatch
) -> SmtpTransport:
    """One that is patient, and gives signs of life every few milliseconds."""
    for module in ("deadline", "pool"):
        monkeypatch.setattr(f"asyncmail.smtp.{module}.PULSE", 0.002)
    return await make_transport()


async def lives_through(
    transport: SmtpTransport,
    server: ScriptedServer,
    silence: Silence,
    message: Envelope | None = None,
    signs: int = 2,
) -> None:
    attempt = Living()
    to = account(server.port, **LOGIN)
    sending = asyncio.ensure_future(transport.send(message or envelope(), to, attempt))
    try:
        await asyncio.wait_for(silence.begun.wait(), 5)
        await attempt.lives(signs)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "DOT"])
@pytest.mark.parametrize("pipelining", [True, False])
async def test_a_peer_within_its_time_shows_as_alive(
    transport: SmtpTransport, verb: str, pipelining: bool
) -> None:
    silence = Silence()
    extensions = ("AUTH PLAIN", *(["PIPELINING"] if pipelining else []))
    async with ScriptedServer({verb: silence}, extensions=extensions) as server:
        await lives_through(transport, server, silence)


async def test_waiting_for_room_shows_as_alive(transport: SmtpTransport) -> None:
    silence = Silence("354 go ahead")
    large = envelope(data=b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 1_000_000)
    pieces = len(large.data) // CHUNK  # each that is written is a sign, too
    async with ScriptedServer({"DATA": silence}, extensions=("AUTH PLAIN",)) as server:
        await lives_through(transport, server, silence, large, pieces + 1)


async def test_trying_a_kept_connection_shows_as_alive(
    transport: SmtpTransport, clock: ManualClock
) -> None:
    silence = Silence()
    async with ScriptedServer({"NOOP": silence}, extensions=("AUTH PLAIN",)) as server:
        await transport.send(envelope(), account(server.port, **LOGIN), Attempt())
        clock.advance(NOOP_AFTER + 1)
        await lives_through(transport, server, silence)


async def test_a_new_connection_in_the_place_of_a_stale_one_shows_as_alive(
    transport: SmtpTransport,
) -> None:
    silence = Silence()

    async def answer(connection: Connection) -> None:
        await connection.say("421 4.3.2 too old" if "." in connection.commands else "250 ok")

    async def greet(connection: Connection) -> None:
        if len(connection.server.connections) > 1:
            await silence(connection)
        await connection.say("220 server.test ESMTP")

    script = {"CONNECT": greet, "MAIL": answer}
    async with ScriptedServer(script, extensions=("AUTH PLAIN",)) as server:
        await transport.send(envelope(), account(server.port, **LOGIN), Attempt())
        await lives_through(transport, server, silence)


async def test_a_silent_peer_still_runs_out_of_time(
    make_transport: MakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncmail.smtp.deadline.PULSE", 0.01)
    transport = await make_transport(timeouts={"command": 0.2})
    async with ScriptedServer({"MAIL": Silence()}) as server:
        sending = transport.send(envelope(), account(server.port), Attempt())
        delivery = await asyncio.wait_for(sending, 5)
        assert "within 0.2 s" in delivery.outcomes[0].text
