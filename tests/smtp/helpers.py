"""What the tests of the smtp transport send, an attempt that records, and a server with a script."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
import struct
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from asyncmail import AttemptRevoked
from asyncmail.model import Account, Envelope, OnUncertain, Tls
from asyncmail.testing.clock import ManualClock

BODY = b"From: <a@example.org>\r\nTo: <b@example.net>\r\nSubject: x\r\n\r\nHello.\r\n"


@dataclass
class Context:
    """What the service would lend to the transport."""

    clock: ManualClock
    logger: logging.Logger

    def transport(self, name: str) -> Any:
        raise NotImplementedError


class Attempt:
    """Records what the transport says; ``revoke`` names the call that takes the message back."""

    number = 1
    on_uncertain = OnUncertain.RETRY

    def __init__(self, revoke: str = "", at_dot: Callable[[], Awaitable[None]] | None = None):
        self.calls: list[str] = []
        self.moves = 0
        self._revoke = revoke
        self._at_dot = at_dot

    def begin(self) -> None:
        self.calls.append("begin")
        if self._revoke == "begin":
            raise AttemptRevoked("suspended")

    async def before_dot(self) -> None:
        self.calls.append("before_dot")
        if self._at_dot is not None:
            await self._at_dot()
        if self._revoke == "before_dot":
            raise AttemptRevoked("draining")

    def progress(self) -> None:
        self.moves += 1


def envelope(*recipients: str, data: bytes = BODY, sender: str = "a@example.org", **more: Any):
    return Envelope("m1", sender, recipients or ("b@example.net",), data, **more)


def account(port: int, **changes: Any) -> Account:
    """An account of its own for each server."""
    settings: dict[str, Any] = {"host": "127.0.0.1", "port": port, "tls": Tls.NONE, **changes}
    return Account(settings.pop("id", f"shop{port}"), **settings)


# --- the server ----------------------------------------------------------------------------------

Step = Callable[["Connection"], Awaitable[None]]


class Gone(Exception):
    """The server has ended the connection."""


@dataclass
class Connection:
    """One client, as the server sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: ScriptedServer
    commands: list[str] = field(default_factory=list)
    envelope: list[str] = field(default_factory=list)
    body: bytes = b""
    tls: bool = False
    waits: bool = False  # 354 was said: a message follows
    last: bytes = b""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def say(self, text: str) -> None:
        await self.write(text.encode() + b"\r\n")

    async def write(self, data: bytes) -> None:
        self.waits = self.waits or b"354" in data
        self.last = data
        self.writer.write(data)
        await self.writer.drain()


def reply(text: str) -> Step:
    async def step(connection: Connection) -> None:
        await connection.say(text)

    return step


def raw(data: bytes) -> Step:
    async def step(connection: Connection) -> None:
        await connection.write(data)

    return step


def then_close(text: str) -> Step:
    async def step(connection: Connection) -> None:
        await connection.say(text)
        raise Gone

    return step


async def drop(connection: Connection) -> None:
    raise Gone


async def reset(connection: Connection) -> None:
    peer = connection.writer.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.writer.transport.abort()
    raise Gone


async def hang(connection: Connection) -> None:
    await connection.server.closing.wait()
    raise Gone


def drip(data: bytes, seconds: float) -> Step:
    async def step(connection: Connection) -> None:
        for index in range(len(data)):
            connection.writer.write(data[index : index + 1])
            await asyncio.sleep(seconds)

    return step


def late(seconds: float, step: Step) -> Step:
    async def after(connection: Connection) -> None:
        await asyncio.sleep(seconds)
        await step(connection)

    return after


async def accept(connection: Connection) -> None:
    """Take the message, and say nothing."""
    connection.server.messages.append((tuple(connection.envelope), connection.body))


def accept_then(step: Step) -> Step:
    async def both(connection: Connection) -> None:
        await accept(connection)
        await step(connection)

    return both


class ScriptedServer:
    """Answers each verb with its step: one, or a list that is used up (the last one repeats).

    Verbs: CONNECT EHLO HELO STARTTLS AUTH MAIL RCPT DATA DOT RSET NOOP QUIT, in upper case. A step
    that raises ``Gone`` ends the connection. ``messages``: (envelope, body) of each accepted copy.
    """

    def __init__(
        self,
        script: Mapping[str, Step | Sequence[Step]] | None = None,
        *,
        extensions: Sequence[str] = ("PIPELINING", "8BITMIME", "SIZE 1000000", "SMTPUTF8"),
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
    ) -> None:
        self.extensions = extensions
        self.messages: list[tuple[tuple[str, ...], bytes]] = []
        self.connections: list[Connection] = []
        self.closing = asyncio.Event()
        self.port = 0
        self._tls = tls
        self._implicit = implicit
        self._script = {
            verb: list(steps) if isinstance(steps, Sequence) else [steps]
            for verb, steps in (script or {}).items()
        }
        self._used: dict[str, int] = defaultdict(int)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def commands(self) -> list[str]:
        """All commands, of all connections in the order they were made."""
        return [command for connection in self.connections for command in connection.commands]

    async def __aenter__(self) -> ScriptedServer:
        context = self._tls if self._implicit else None
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=context, limit=2**24
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.closing.set()
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = Connection(reader, writer, self, tls=self._implicit)
        self.connections.append(connection)
        try:
            await self._step("CONNECT", reply("220 server.test ESMTP"), connection)
            while line := await reader.readline():
                await self._command(line.decode(errors="replace").rstrip("\r\n"), connection)
        except (Gone, ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            connection.ended.set()
            self._tasks.discard(task)

    async def _step(self, verb: str, usual: Step, connection: Connection) -> None:
        steps = self._script.get(verb)
        if not steps:
            await usual(connection)
            return
        index = min(self._used[verb], len(steps) - 1)
        self._used[verb] += 1
        await steps[index](connection)

    async def _command(self, line: str, connection: Connection) -> None:
        connection.commands.append(line)
        verb = line.split(" ")[0].upper()
        usual = reply("250 2.0.0 ok")
        if verb == "RCPT" and not connection.envelope:
            await connection.say("503 5.5.1 MAIL first")
            return
        if verb == "EHLO":
            starttls = ["STARTTLS"] if self._tls and not connection.tls else []
            lines = ["server.test", *self.extensions, *starttls]
            text = "\r\n".join(f"250{' ' if x is lines[-1] else '-'}{x}" for x in lines)
            usual = reply(text)
        elif verb == "MAIL":
            connection.envelope = [re.findall("<(.*?)>", line)[0]]
        elif verb == "RCPT":
            connection.envelope.append(re.findall("<(.*?)>", line)[0])
        elif verb == "AUTH":
            usual = reply("235 2.7.0 welcome")
        elif verb == "QUIT":
            usual = then_close("221 2.0.0 bye")
        elif verb == "STARTTLS":
            usual = reply("220 2.0.0 go ahead")
        elif verb == "DATA":
            await self._data(connection)
            return
        await self._step(verb, usual, connection)
        if verb in ("MAIL", "RCPT") and not connection.last.startswith(b"2"):
            connection.envelope.pop()
        if verb == "STARTTLS" and self._tls is not None:
            await connection.writer.start_tls(self._tls)
            connection.tls = True

    async def _data(self, connection: Connection) -> None:
        connection.waits = False
        if len(connection.envelope) < 2 and "DATA" not in self._script:
            await connection.say("503 5.5.1 RCPT first")
            return
        await self._step("DATA", reply("354 go ahead"), connection)
        if not connection.waits:
            return
        lines: list[bytes] = []
        while (line := await connection.reader.readline()) != b".\r\n":
            if not line:
                raise Gone
            lines.append(line.removeprefix(b"."))
        connection.commands.append(".")
        connection.body = b"".join(lines)
        await self._step("DOT", accept_then(reply("250 2.0.0 queued")), connection)
