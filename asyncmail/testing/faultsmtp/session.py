"""One connection: bytes in, replies out, and the steps of a script played where one applies."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Collection, Coroutine
from typing import Any, cast

from asyncmail.testing.faultsmtp.books import Books
from asyncmail.testing.faultsmtp.copies import Copy
from asyncmail.testing.faultsmtp.dialogue import After, Answer, Dialogue, Transaction
from asyncmail.testing.faultsmtp.inbox import Inbox
from asyncmail.testing.faultsmtp.replies import reply
from asyncmail.testing.faultsmtp.script import Clause, Kind, Step
from asyncmail.testing.faultsmtp.strict import (
    LAST_IN_GROUP,
    MAX_LINE,
    faults_in_message,
    faults_on_the_wire,
    header_of,
)
from asyncmail.testing.faultsmtp.wire import Wire

_MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_MAX_BUFFERED_LINE = 65_536  # bytes without a newline; then the client is cut off


class Session(asyncio.Protocol):
    """The server's side of one connection.

    A reply without a script is written at once. A script is played by a task; until it is through,
    what the client sends waits in the inbox.
    """

    _wire: Wire
    _dialogue: Dialogue

    def __init__(self, books: Books, open_sessions: set[Session]) -> None:
        self._books = books
        self._open_sessions = open_sessions
        self._inbox = Inbox()
        self._busy = ""  # the verb whose script is being played; "tls" during the handshake
        self._deaf = False
        self._idle: asyncio.TimerHandle | None = None
        self._excused: int | None = None  # after 421: bytes sent before the client could see it
        self._in_body = False
        self._body_begun = False
        self._early_dot = False  # the dot was answered before the message
        self._message: tuple[Transaction, bytes] | None = None
        self._dot_pending = False
        self._unanswered: Copy | None = None
        self._number = 0
        self.task: asyncio.Task[None] | None = None  # plays the script

    # --- what asyncio calls --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = Wire(cast("asyncio.Transport", transport))
        self._number = self._books.connected()
        self._open_sessions.add(self)
        profile = self._books.profile
        self._dialogue = Dialogue(self._books, self._number)
        self._dialogue.secure = bool(self._wire.tls_version)
        if profile.max_connections is not None and self._books.concurrent > profile.max_connections:
            self._act(Answer("greeting", 421, after=After.CLOSE))
        else:
            self._act(Answer("greeting", 220, lines=(f"{profile.hostname} ESMTP ready",)))
        self._wire.flush()
        self._rearm_idle()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._busy and self._busy not in {"body", "tls"}:
            verb = self._busy.upper()
            offered = self._books.profile.offers("PIPELINING")
            if verb in LAST_IN_GROUP or verb == "GREETING" or not offered:
                self._dialogue.blame("pipelining", f"sent before the reply to {verb}")
        self._inbox.add(data)
        self._pump()
        self._rearm_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        if self not in self._open_sessions:
            return
        self._open_sessions.discard(self)
        if self._idle is not None:
            self._idle.cancel()
        if self.task is not None:
            self.task.cancel()
        self._dot_answered()
        if self._unanswered is not None:
            self._books.never_answered(self._unanswered)
        self._books.disconnected()

    def abort(self) -> None:
        """End the connection without a word; the server is closing."""
        self._wire.transport.abort()
        if self._busy == "tls":  # nobody tells of a connection lost during the handshake
            self.connection_lost(None)

    # --- input ---------------------------------------------------------------------------------

    def _pump(self) -> None:
        while self._inbox and not self._busy and not self._wire.transport.is_closing():
            if not (self._read_body() if self._in_body else self._read_command()):
                break
        self._wire.flush()

    def _read_command(self) -> bool:
        line = self._inbox.take_line()
        if line is None:
            if len(self._inbox) > _MAX_BUFFERED_LINE:
                self._dialogue.blame("line-too-long", "endless command line")
                self._wire.drop()
            return False
        text = line.rstrip(b"\r\n")
        if line[len(text) :] != b"\r\n" or b"\r" in text:
            self._dialogue.blame("bare-newline", f"in command {text[:80]!r}")
        if len(text) > MAX_LINE:
            self._dialogue.blame("line-too-long", f"command of {len(text)} octets")
        if self._excused is None:
            self._act(self._dialogue.answer(text, self._inbox.rest))
            return True
        self._excused -= len(line)
        if self._excused < 0 and text.upper() != b"QUIT":
            self._dialogue.blame("after-421", repr(text[:80]))
        self._say(421)
        return True

    def _read_body(self) -> bool:
        if not self._body_begun:
            self._body_begun = True
            if (clause := self._dialogue.clause("body")) is not None:
                self._play(clause, Answer("body", 0))
                return False
        stuffed = self._inbox.take_body()
        if stuffed is None:
            return False
        self._in_body = False
        transaction = self._dialogue.end_transaction()
        answered, self._early_dot = self._early_dot, False
        if transaction is not None and not answered:
            self._dot(transaction, stuffed)
        return True

    def _dot(self, transaction: Transaction, stuffed: bytes) -> None:
        data = stuffed.replace(b"\r\n.", b"\r\n").removeprefix(b".")
        if self._books.strict:
            for rule, detail in faults_on_the_wire(stuffed):
                self._dialogue.blame(rule, detail)
            for rule, detail in faults_in_message(data, eight_bit=transaction.eight_bit):
                self._dialogue.blame(rule, detail)
        self._message = (transaction, data)
        limit = self._books.profile.size_limit
        self._act(Answer("dot", 552 if limit and len(data) > limit else 250))

    # --- output --------------------------------------------------------------------------------

    def _act(self, answer: Answer) -> None:
        clause = self._dialogue.clause(answer.verb)
        if clause is not None:
            self._play(clause, answer)
            return
        self._answer_as_usual(answer)
        self._unanswered = None
        self._follow(answer, answer.code)

    def _answer_as_usual(self, answer: Answer) -> None:
        if answer.verb == "dot" and answer.code == 250:
            self._take()
        self._say(answer.code, *answer.lines)

    def _follow(self, answer: Answer, code: int) -> None:
        """Do what belongs to a reply that has been said."""
        if answer.after is After.CLOSE:
            self._wire.drop()
        if not 200 <= code < 400:
            return
        if answer.effect is not None:
            answer.effect()
        if answer.after is After.TLS:
            self._wire.flush()
            self._busy = "tls"
            self._spawn(self._begin_tls())
        elif answer.after is After.BODY and code == 354:
            self._in_body, self._body_begun = True, False

    def _say(self, code: int, *lines: str) -> None:
        enhanced = self._books.profile.offers("ENHANCEDSTATUSCODES")
        self._wire.say(reply(code, *lines, enhanced=enhanced))
        self._heed((code,))

    def _heed(self, codes: Collection[int]) -> None:
        """After 421 the client has to stop; only what it had sent by then is excused."""
        if 421 in codes and self._excused is None:
            self._excused = len(self._inbox)

    def _take(self) -> None:
        """Accept the message: into the ledger, before any reply."""
        if self._message is None:
            return
        (transaction, data), self._message = self._message, None
        found = _MESSAGE_ID.search(header_of(data))
        copy = Copy(
            time=time.time(),
            connection=self._number,
            message_id=found[1].decode(errors="replace") if found else "",
            sender=transaction.sender,
            recipients=tuple(transaction.recipients),
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
            tls=self._wire.tls_version,
            user=self._dialogue.user,
            data=data,
        )
        self._unanswered = copy
        self._books.take(copy)

    # --- scripts -------------------------------------------------------------------------------

    def _play(self, clause: Clause, answer: Answer) -> None:
        self._busy = answer.verb
        if answer.verb == "dot":
            self._dot_pending = True
            self._books.dots_pending += 1
            self._books.changed()
        self._spawn(self._run_script(clause, answer))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.task = asyncio.get_running_loop().create_task(work)

    async def _run_script(self, clause: Clause, answer: Answer) -> None:
        said: list[int] = []
        pace: float | None = None
        for step in clause.steps:
            match step.kind:
                case Kind.SLEEP:
                    self._wire.flush()
                    await asyncio.sleep(step.seconds)
                case Kind.ACCEPT:
                    self._take()
                case Kind.DRIP:
                    pace = step.seconds
                case Kind.REPLY | Kind.RAW:
                    said.extend(await self._say_step(step, pace))
                    self._unanswered = None
                case _:
                    self._end_with(step.kind)
                    return
        if not said and pace is not None:
            await self._wire.drip_endlessly(pace)
        if not said and answer.verb != "body":
            self._answer_as_usual(answer)
            said.append(answer.code)
        self._early_dot = answer.verb == "data" and len(said) > 1
        self._wire.flush()
        self._dot_answered()
        self._unanswered = None
        self._busy = ""
        if said:
            self._follow(answer, said[0])
        self._pump()

    async def _say_step(self, step: Step, pace: float | None) -> list[int]:
        """Say what a reply or raw step has to say; return its codes, 0 where it has none."""
        enhanced = self._books.profile.offers("ENHANCEDSTATUSCODES")
        data = step.data or b"".join(reply(code, enhanced=enhanced) for code in step.codes)
        codes = list(step.codes) or [int(data[:3]) if data[:3].isdigit() else 0]
        self._heed(codes)
        if pace is None:
            self._wire.say(data)
        else:
            await self._wire.drip(data, pace)
        return codes

    def _end_with(self, kind: Kind) -> None:
        """The last thing that happens on this connection; ``_busy`` stays, nothing more is read."""
        match kind:
            case Kind.DROP:
                self._wire.drop()
            case Kind.RST:
                self._wire.reset()
            case Kind.STALL:
                self._wire.stall()
            case _:
                self._wire.flush()
                self._deaf = True

    def _dot_answered(self) -> None:
        if self._dot_pending:
            self._dot_pending = False
            self._books.dots_pending -= 1
            self._books.changed()

    # --- TLS and idleness ----------------------------------------------------------------------

    async def _begin_tls(self) -> None:
        if self._inbox:
            self._dialogue.blame("pipelining", "bytes in clear behind STARTTLS")
            self._inbox.clear()
        context = self._books.profile.tls
        if context is None:
            return
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(self._wire.transport, self, context, server_side=True)
        except OSError:  # the client refused, or spoke something else
            transport = None
        if transport is None:
            self.abort()
            return
        self._wire.transport = transport
        self._dialogue.tls_began()
        self._busy = ""
        self._pump()

    def _rearm_idle(self) -> None:
        timeout = self._books.profile.idle_timeout
        if timeout is not None and self in self._open_sessions:
            if self._idle is not None:
                self._idle.cancel()
            self._idle = asyncio.get_running_loop().call_later(timeout, self._idle_out)

    def _idle_out(self) -> None:
        if not self._busy:
            self._say(421)
            self._wire.drop()
