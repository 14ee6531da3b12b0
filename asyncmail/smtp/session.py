"""An SMTP session after login: commands out, replies matched to them in order, clocks, and the end.

What a reply means for a message is not decided here; see ``transaction``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from asyncmail.failpoints import failpoint
from asyncmail.model import Timeouts
from asyncmail.outcome import Phase
from asyncmail.smtp.deadline import Deadline
from asyncmail.smtp.replies import MalformedReply, Reply, ReplyParser

CHUNK = 65_536  # bytes of a body that are written before the flow is looked at again
QUIT_SECONDS = 5.0

# First digits that a reply may have at this point; anything else is another command's reply.
_IN_STEP = {
    Phase.MAIL: (2, 4, 5),
    Phase.RCPT: (2, 4, 5),
    Phase.DATA: (3, 4, 5),
    Phase.DOT: (2, 4, 5),
    Phase.EHLO: (2, 4, 5),  # stands for NOOP, RSET and QUIT
}

_ANSWERED = {  # the failpoint that each reply passes
    Phase.MAIL: "mail.done",
    Phase.RCPT: "rcpt.done",
    Phase.DATA: "data.354",
    Phase.DOT: "dot.replied",
    Phase.EHLO: "",
}


@dataclass(frozen=True, slots=True)
class Broken:
    """Why a session is over. ``reply``: the 421 it ended with. ``desync``: replies did not match."""

    text: str
    reply: Reply | None = None
    timeout: bool = False
    desync: bool = False


class Exchange:
    """Commands that were written together, and the replies that have come for them.

    ``done`` is resolved when all replies are in, or when the session broke before.
    """

    __slots__ = ("done", "phases", "progress", "replies")

    def __init__(
        self,
        phases: Sequence[Phase],
        progress: Callable[[], None],
        done: asyncio.Future[None],
    ) -> None:
        self.phases = phases
        self.progress = progress
        self.done = done
        self.replies: list[Reply] = []

    @property
    def complete(self) -> bool:
        return len(self.replies) == len(self.phases)


class Session(asyncio.Protocol):
    """The protocol of a connection that is past login.

    ``reused``: it has carried a message before. ``unclean``: RSET is due before the next message.
    ``chained``: commands were written while an earlier reply was still due.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        extensions: Mapping[str, str],
        timeouts: Timeouts,
        *,
        revision: int = 0,
    ) -> None:
        self.timeouts = timeouts
        self.revision = revision
        self.pipelining = "pipelining" in extensions
        self.smtputf8 = "smtputf8" in extensions
        self.eight_bit = "8bitmime" in extensions
        self.size = _size(extensions)
        self.broken: Broken | None = None
        self.reused = False
        self.unclean = False
        self.chained = False
        self.idle_since = 0.0
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._parser = ReplyParser()
        self._pending: deque[Exchange] = deque()
        self._unwritten: list[bytes | memoryview] = []
        self._clock = Deadline(self._loop, self._late, self._beat)
        self._waits_for = ""
        self._paused = False
        self._writing = _no_progress  # of the message that waits for room
        self._drained: asyncio.Future[None] | None = None
        self._quitting = False
        self._doomed = ""
        self.closed: asyncio.Future[None] = self._loop.create_future()
        # Write at once: uvloop would wait for the end of its turn, and the server with it.
        transport.set_write_buffer_limits(high=0)

    # --- what a transaction uses -----------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether another message may be begun, perhaps behind the dot of the one before."""
        return self.broken is None and not self._doomed and not self._quitting

    def time(self) -> float:
        """The loop's time, for measuring phases."""
        return self._loop.time()

    def begin(
        self, data: bytes | memoryview, phases: Sequence[Phase], progress: Callable[[], None]
    ) -> Exchange:
        """Write commands, one reply of each phase to come; await ``done`` of what is returned.

        What is begun in one turn of the event loop leaves in one piece.
        """
        exchange = Exchange(phases, progress, self._loop.create_future())
        if self.broken is not None:
            exchange.done.set_result(None)
            return exchange
        self._pending.append(exchange)
        if len(self._pending) == 1:
            self._expect(phases[0])
        else:
            self.chained = True
        if not self._unwritten:
            self._loop.call_soon(self._flush)
        self._unwritten.append(data)
        return exchange

    async def finish_data(
        self, body: bytes, progress: Callable[[], None], last: Callable[[], None]
    ) -> Exchange | None:
        """Write a dot-stuffed body with its final dot, which is in the last piece that is written.

        ``last`` is called just before that piece; whoever it wakes may begin the next message, which
        then leaves with it. Returns nothing if the session broke before that: then the dot has not left.
        """
        start, rest = 0, len(body)
        if rest > CHUNK + 5:
            self._flush()
        view = memoryview(body)
        while rest > CHUNK + 5:  # the last piece holds at least the whole CRLF.CRLF
            self._transport.write(view[start : start + CHUNK])
            start += CHUNK
            rest -= CHUNK
            if self._paused:
                self._clock.set(self.timeouts.block)
                self._waits_for = "room for the message"
                self._drained = self._loop.create_future()
                self._writing = progress
                await self._drained
                self._writing = _no_progress
                self._clock.clear()
            if self.broken is not None:
                return None
            failpoint("body.half")
            progress()
        if self.broken is not None:
            return None
        failpoint("dot.before")
        last()
        return self.begin(view[start:] if start else body, (Phase.DOT,), progress)

    async def command(self, verb: bytes, progress: Callable[[], None]) -> bool:
        """NOOP or RSET between messages; whether the session can go on."""
        exchange = self.begin(verb + b"\r\n", (Phase.EHLO,), progress)
        await exchange.done
        return self.broken is None and exchange.replies[0].code // 100 == 2

    def break_off(
        self,
        text: str,
        reply: Reply | None = None,
        *,
        timeout: bool = False,
        desync: bool = False,
    ) -> None:
        """End the session at once; whoever waits for a reply learns why."""
        if self.broken is not None:
            return
        self.broken = Broken(text, reply, timeout, desync)
        self._clock.stop()
        self._transport.abort()
        for exchange in self._pending:
            if not exchange.done.done():
                exchange.done.set_result(None)
        self._pending.clear()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def give_up(self, text: str) -> None:
        """The last message that was begun has lost its owner: end, once earlier ones have replies."""
        if len(self._pending) > 1:
            self._doomed = text
        else:
            self.break_off(text)

    def quit(self) -> None:
        """Say goodbye and close when the server has answered, or after 5 seconds."""
        if not self.usable:
            return
        self._quitting = True
        self.begin(b"QUIT\r\n", (Phase.EHLO,), _no_progress)
        if len(self._pending) == 1:
            self._clock.set(QUIT_SECONDS)

    # --- what the event loop calls ---------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self.broken is not None:
            return
        if b"\n" in data:
            for exchange in self._pending:
                exchange.progress()
        answered = False
        try:
            for reply in self._parser.feed(data):
                answered = True
                self._take(reply)
                if self.broken is not None:
                    return
        except MalformedReply as problem:
            self.break_off(f"malformed reply: {problem}", desync=True)
            return
        if self._parser.partial and not self._pending:
            self.break_off("the server sent more than was asked for", desync=True)
        elif answered:
            self._await_next()

    def eof_received(self) -> None:
        self.break_off("the server closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        why = f": {exc}" if exc and str(exc) else ""
        self.break_off(f"the server closed the connection{why}")
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # --- inside ----------------------------------------------------------------------------------

    def _take(self, reply: Reply) -> None:
        pending = self._pending
        if not pending:
            if reply.code == 421:
                self.break_off(f"the server ended the session: {reply}", reply)
            else:
                self.break_off(f"a reply that was not asked for: {reply}", desync=True)
            return
        exchange = pending[0]
        phase = exchange.phases[len(exchange.replies)]
        if reply.code // 100 not in _IN_STEP[phase]:
            self.break_off(f"a reply out of step: {reply}", desync=True)
            return
        exchange.replies.append(reply)
        failpoint(_ANSWERED[phase])
        if exchange.complete:
            pending.popleft()
            if not exchange.done.done():
                exchange.done.set_result(None)
        if reply.code == 421 or (self._quitting and not pending):
            self.break_off(f"the server ended the session: {reply}", reply)
        elif self._doomed and exchange.complete:
            self.break_off(self._doomed)

    def _flush(self) -> None:
        if self._unwritten and self.broken is None:
            self._transport.write(b"".join(self._unwritten))
            self._unwritten.clear()

    def _await_next(self) -> None:
        """A reply has come: the clock runs for the one after it."""
        if self._pending:
            following = self._pending[0]
            self._expect(following.phases[len(following.replies)])
        else:
            self._clock.clear()

    def _expect(self, phase: Phase) -> None:
        timeouts = self.timeouts
        if phase is Phase.DOT:
            self._clock.set(timeouts.dot)
        elif phase is Phase.DATA:
            self._clock.set(timeouts.data)
        else:
            self._clock.set(timeouts.command)
        self._waits_for = "a reply"

    def _beat(self) -> None:
        """The peer is within its time, however long that is: nobody else is to lose patience."""
        self._writing()
        for exchange in self._pending:
            exchange.progress()

    def _late(self, seconds: float) -> None:
        self.break_off(f"{self._waits_for} did not come within {seconds:g} s", timeout=True)


def _size(extensions: Mapping[str, str]) -> int | None:
    """The largest message the server takes, 0 for "no limit said", ``None`` without SIZE."""
    value = extensions.get("size")
    if value is None:
        return None
    digits = value.strip()
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def _no_progress() -> None:
    """For what is done on nobody's behalf."""


def attach(
    transport: asyncio.BaseTransport,
    extensions: Mapping[str, str],
    timeouts: Timeouts,
    revision: int,
) -> Session:
    """Take over a logged-in connection from whoever made it."""
    stream = cast("asyncio.Transport", transport)
    session = Session(stream, extensions, timeouts, revision=revision)
    stream.set_protocol(session)
    return session
