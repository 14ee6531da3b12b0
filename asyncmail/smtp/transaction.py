"""One mail transaction on a session, MAIL to the reply to the dot, and what it means per recipient."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from asyncmail.errors import AttemptRevoked
from asyncmail.failpoints import failpoint
from asyncmail.model import Delivery, Disposition, Envelope, RecipientOutcome
from asyncmail.outcome import Phase, Verdict, classify
from asyncmail.plugins.interfaces import Attempt
from asyncmail.smtp import wire
from asyncmail.smtp.replies import Reply
from asyncmail.smtp.session import Broken, Exchange, Session

MAX_RECIPIENTS = 100  # a transaction; more than that, RFC 5321 4.5.3.1.8 does not promise

_log = logging.getLogger(__name__)


class Transaction:
    """Sends one envelope over one session; ``run`` it once.

    ``dot_leaves`` is called just before the last bytes are handed to the connection: from then on the
    session may carry the next envelope, behind this one's dot. ``stale`` is true after a run that
    shows only that the connection was no longer good for a message: another one may be tried at once.
    """

    def __init__(
        self,
        session: Session,
        envelope: Envelope,
        body: bytes,
        attempt: Attempt,
        dot_leaves: Callable[[], None],
    ) -> None:
        self.stale = False
        self._session = session
        self._envelope = envelope
        self._body = body
        self._attempt = attempt
        self._dot_leaves = dot_leaves
        self._eight_bit = not envelope.data.isascii()
        self._foreign_header = self._eight_bit and not wire.header(envelope.data).isascii()
        self._reused = session.reused
        self._settled: dict[str, RecipientOutcome] = {}
        self._begun = False
        self._charges: list[bool] = []
        self._wish: float | None = None

    async def run(self) -> Delivery:
        """Every failure of the peer is an outcome; any other exception ends the session."""
        try:
            return await self._run()
        except BaseException:
            self._session.give_up("the message was given up half way")
            raise

    async def _run(self) -> Delivery:
        tried = self._admit()
        if not tried:
            return self._delivery()
        try:
            self._attempt.begin()
        except AttemptRevoked as revoked:
            return self._put_off(tried, str(revoked))
        self._begun = self._session.reused = True
        started = self._session.time()
        phases = (Phase.MAIL, *(Phase.RCPT for _ in tried), Phase.DATA)
        replies = await self._envelope_out(tried, phases)
        takers = self._read(tried, phases, replies)
        if not takers:
            return self._delivery()
        ready = self._session.time()
        try:
            await self._attempt.before_dot()
        except AttemptRevoked as revoked:
            # Ending the session is the only way out of DATA without handing the message over.
            self._session.break_off("the message was taken back before its dot")
            return self._put_off(takers, str(revoked))
        allowed = self._session.time()
        exchange = await self._session.finish_data(
            self._body, self._attempt.progress, self._dot_leaves
        )
        if exchange is None:
            self._lost(takers, Phase.DATA)
            self.stale = False  # the intent is declared: another try is another attempt
            return self._delivery()
        failpoint("dot.written")
        written = self._session.time()
        await exchange.done
        self._final(takers, exchange)
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug(
                "message %s: envelope %.1f ms, intent %.1f ms, body %.1f ms, reply %.1f ms",
                self._envelope.message_id,
                (ready - started) * 1e3,
                (allowed - ready) * 1e3,
                (written - allowed) * 1e3,
                (self._session.time() - written) * 1e3,
            )
        return self._delivery()

    # --- before MAIL -----------------------------------------------------------------------------

    def _admit(self) -> Sequence[str]:
        """The recipients to try, after those that this server cannot serve are settled."""
        envelope, session = self._envelope, self._session
        recipients: Sequence[str] = envelope.recipients
        refusal = None
        if session.size and len(envelope.data) > session.size:
            refusal = (
                f"too large: {len(envelope.data)} bytes, the server takes {session.size}",
                "5.3.4",
            )
        elif self._foreign_header and not session.smtputf8:
            refusal = ("the message's header needs SMTPUTF8, the server does not offer it", "5.6.7")
        elif self._eight_bit and not session.eight_bit:
            refusal = ("the message has 8-bit content, the server offers no 8BITMIME", "5.6.3")
        elif not session.smtputf8 and not envelope.sender.isascii():
            refusal = ("the sender's address needs SMTPUTF8, the server does not offer it", "5.6.7")
        if refusal:
            self._settle(recipients, Verdict(Disposition.PERMANENT), *refusal)
            return ()
        if not all(map(wire.is_mailbox, recipients)):
            bad = [r for r in recipients if not wire.is_mailbox(r)]
            self._settle(bad, Verdict(Disposition.PERMANENT), "this is no mailbox", "5.1.3")
            recipients = [r for r in recipients if r not in bad]
        if envelope.needs_smtputf8 and not session.smtputf8:
            self._settle(
                [r for r in recipients if not r.isascii()],
                Verdict(Disposition.PERMANENT),
                "the address needs SMTPUTF8, the server does not offer it",
                "5.6.7",
            )
            recipients = [r for r in recipients if r.isascii()]
        if len(recipients) > MAX_RECIPIENTS:
            self._settle(recipients[MAX_RECIPIENTS:], Verdict(Disposition.UNTRIED))
            recipients = recipients[:MAX_RECIPIENTS]
        return recipients

    # --- MAIL to 354 -----------------------------------------------------------------------------

    async def _envelope_out(self, tried: Sequence[str], phases: Sequence[Phase]) -> list[Reply]:
        """Write MAIL, RCPT and DATA: in one piece with PIPELINING (RFC 2920), else one by one."""
        session, envelope = self._session, self._envelope
        size = None if session.size is None else len(envelope.data)
        commands = [
            wire.mail(
                envelope.sender,
                size,
                eight_bit=self._eight_bit and session.eight_bit,
                utf8=session.smtputf8 and (envelope.needs_smtputf8 or self._foreign_header),
            ),
            *map(wire.rcpt, tried),
            b"DATA\r\n",
        ]
        progress = self._attempt.progress
        if session.pipelining:
            exchange = session.begin(b"".join(commands), phases, progress)
            await exchange.done
            return exchange.replies
        replies: list[Reply] = []
        for command, phase in zip(commands, phases, strict=True):
            if phase is Phase.DATA and not any(_positive(reply) for reply in replies[1:]):
                break
            exchange = session.begin(command, (phase,), progress)
            await exchange.done
            replies += exchange.replies
            if session.broken or (phase is Phase.MAIL and not _positive(replies[0])):
                break
        return replies

    def _read(
        self, tried: Sequence[str], phases: Sequence[Phase], replies: Sequence[Reply]
    ) -> Sequence[str]:
        """Settle who is refused; return the recipients for whom the server waits for the message."""
        session = self._session
        if replies and replies[0].code // 100 != 2:
            if any(reply.code // 100 in (2, 3) for reply in replies[1:]):
                # No server takes recipients after a refused MAIL: on a connection that carried
                # messages before, the refusal may be a reply too many to one of those.
                session.break_off("replies out of step after MAIL", desync=True)
                if self._reused:
                    self._lost(tried, Phase.MAIL)
                    return ()
            self._reply(tried, Phase.MAIL, replies[0])
            self.stale = self._reused and replies[0].code == 421
            return ()
        takers = []
        for recipient, reply in zip(tried, replies[1:], strict=False):
            if reply.code // 100 == 2:
                takers.append(recipient)
            elif reply.code in (452, 552) and not takers:
                # Not "too many": it is the first. Untried, it would be tried again at once, for ever.
                self._reply((recipient,), Phase.MAIL, reply)
            elif reply.code != 421:
                self._reply((recipient,), Phase.RCPT, reply)
        data = replies[-1] if len(replies) == len(phases) else None
        if data is not None and data.code // 100 != 3:
            session.unclean = True
            self._reply(takers, Phase.DATA, data)
            return ()
        if session.broken is not None:
            left = [recipient for recipient in tried if recipient not in self._settled]
            if replies and replies[-1].code == 421:
                self._reply(left, phases[len(replies) - 1], replies[-1])
            else:
                self._lost(left, phases[min(len(replies), len(phases) - 1)])
            return ()
        if data is not None and takers:
            return takers
        if data is not None:
            # Nobody may get what a lone dot would hand over; only the end of the session is safe
            # with servers that accept it all the same.
            session.break_off("the server waits for a message without any recipient")
        session.unclean = True
        return ()

    # --- outcomes --------------------------------------------------------------------------------

    def _final(self, takers: Sequence[str], exchange: Exchange) -> None:
        if exchange.complete:
            self._reply(takers, Phase.DOT, exchange.replies[0])
        else:
            self._lost(takers, Phase.DOT)

    def _reply(self, recipients: Sequence[str], phase: Phase, reply: Reply) -> None:
        verdict = classify(phase, reply.code, reused=self._reused)
        enhanced, text = reply.read()
        self._settle(recipients, verdict, text, enhanced, reply.code, reply.wish)

    def _lost(self, recipients: Sequence[str], phase: Phase) -> None:
        """The session broke in this phase without a reply that counts."""
        broken = self._session.broken or Broken("")
        code = broken.reply.code if broken.reply and phase is not Phase.DOT else None
        if phase is not Phase.DOT and not broken.timeout:
            self.stale = self._reused and (phase is Phase.MAIL or broken.desync)
        where = "after the final dot" if phase is Phase.DOT else f"at {phase.upper()}"
        verdict = classify(phase, code, reused=self._reused)
        self._settle(recipients, verdict, f"{broken.text} ({where})", code=None)

    def _put_off(self, recipients: Sequence[str], why: str) -> Delivery:
        self._settle(recipients, Verdict(Disposition.TEMPORARY, charged=False), why)
        return self._delivery()

    def _settle(
        self,
        recipients: Sequence[str],
        verdict: Verdict,
        text: str = "",
        enhanced: str | None = None,
        code: int | None = None,
        wish: float | None = None,
    ) -> None:
        if verdict.disposition is Disposition.TEMPORARY:
            self._charges.append(verdict.charged)
            self._wish = max(self._wish or 0.0, wish or 0.0) or None
        for recipient in recipients:
            self._settled[recipient] = RecipientOutcome(
                recipient, verdict.disposition, code, enhanced, text
            )

    def _delivery(self) -> Delivery:
        settled = self._settled
        return Delivery(
            tuple(settled[recipient] for recipient in self._envelope.recipients),
            charged=any(self._charges) or not self._charges,
            transaction_begun=self._begun,
            retry_after=self._wish,
        )


def _positive(reply: Reply) -> bool:
    return reply.code // 100 == 2
