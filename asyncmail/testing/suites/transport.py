"""The promises of a transport: an honest outcome per recipient, and nothing handed over unannounced."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from copy import deepcopy

import pytest

from asyncmail.errors import AttemptRevoked
from asyncmail.model import Delivery, Disposition, Envelope, RecipientOutcome
from asyncmail.plugins.interfaces import Attempt, Transport
from asyncmail.testing import samples
from asyncmail.testing.lone import NotingAttempt
from asyncmail.testing.suites.base import Suite
from asyncmail.testing.suites.calls import HANGING_SECONDS, end, hang, promise
from asyncmail.testing.suites.peer import Behaviour, Peer, SmtpPeer
from asyncmail.testing.suites.rules import plays_peer, reaches_peer

FAILURES = "failures are outcomes too: return Delivery.of_all(...) with what is known"
REVOKED = {Disposition.ACCEPTED, Disposition.PERMANENT, Disposition.UNCERTAIN}


class TransportSuite(Suite[Transport]):
    """Subclass it as ``class TestMine(TransportSuite)`` and say ``offer``; see ``Suite``.

    ``peer``: a fixture to override unless the transport speaks SMTP to the account's host.
    """

    kind = Transport

    @pytest.fixture
    async def peer(self) -> AsyncIterator[Peer]:
        """The other side."""
        async with SmtpPeer.running() as peer:
            yield peer

    @pytest.fixture(autouse=True)
    def _peer_for_use(self, peer: Peer) -> None:
        self._peer = peer

    # --- words ---

    def envelope(self, id: str, *behaviours: Behaviour) -> Envelope:
        """A message to one address for each behaviour."""
        to = [self._peer.address(f"{id}-{n}", behaviour) for n, behaviour in enumerate(behaviours)]
        return samples.envelope(id, *to)

    async def use(self, extension: Transport) -> None:
        await self.sent(extension, self.envelope("used", Behaviour.ACCEPTS))

    async def sent(
        self, transport: Transport, envelope: Envelope, attempt: Attempt | None = None
    ) -> dict[str, RecipientOutcome]:
        """The outcome for each recipient; the answer has to be complete."""
        what = self.called("send")
        delivery: object = await self.ask(
            what,
            self._sending(transport, envelope, attempt or NotingAttempt()),
            advice=FAILURES,
            answers=(AttemptRevoked,),
        )
        promise(
            isinstance(delivery, Delivery),
            f"{what} returned {type(delivery).__name__}: return a Delivery with an outcome per recipient",
        )
        assert isinstance(delivery, Delivery)  # noqa: S101 - the promise above, for type checkers
        told = Counter(outcome.recipient for outcome in delivery.outcomes)
        promise(
            told == Counter(envelope.recipients),
            f"{what} told of {sorted(told.elements())}, the envelope is for"
            f" {sorted(envelope.recipients)}: return exactly one outcome for each recipient",
        )
        return {outcome.recipient: outcome for outcome in delivery.outcomes}

    def _sending(
        self, transport: Transport, envelope: Envelope, attempt: Attempt
    ) -> Callable[[], Awaitable[object]]:
        return lambda: transport.send(envelope, self._peer.account, attempt)

    def expect(
        self,
        outcomes: dict[str, RecipientOutcome],
        envelope: Envelope,
        *dispositions: Disposition,
        why: str,
    ) -> None:
        """Fails unless the recipients have these dispositions, in order."""
        got = tuple(outcomes[recipient].disposition for recipient in envelope.recipients)
        promise(
            got == dispositions,
            f"{self.called('send')} says {', '.join(got)} where {', '.join(dispositions)} is due: {why}",
        )

    async def copies(self, envelope: Envelope) -> list[str]:
        """The recipients of what the peer took of this message, once for each copy."""
        text = _body(envelope.data)
        return [
            recipient
            for received in await self._peer.received()
            if _body(received.data) == text
            for recipient in received.recipients
        ]

    # --- outcomes ---

    @plays_peer
    async def test_a_message_is_accepted_whole_and_once(self, extension: Transport) -> None:
        envelope = self.envelope("m1", Behaviour.ACCEPTS)
        outcomes = await self.sent(extension, envelope)
        self.expect(outcomes, envelope, Disposition.ACCEPTED, why="the peer took the message")
        copies = await self.copies(envelope)
        promise(
            copies == list(envelope.recipients),
            f"{self.called('send')} said accepted, and the peer has it, unchanged, for"
            f" {copies or 'nobody'}: hand over envelope.data as it is, once, for every recipient, and"
            " say accepted only when the peer has confirmed",
        )

    @plays_peer
    async def test_one_of_three_recipients_is_refused(self, extension: Transport) -> None:
        envelope = self.envelope("m1", Behaviour.ACCEPTS, Behaviour.REFUSES, Behaviour.ACCEPTS)
        outcomes = await self.sent(extension, envelope)
        self.expect(
            outcomes,
            envelope,
            Disposition.ACCEPTED,
            Disposition.PERMANENT,
            Disposition.ACCEPTED,
            why="a refused recipient concerns nobody else",
        )
        first, _, third = envelope.recipients
        copies = await self.copies(envelope)
        promise(
            sorted(copies) == sorted([first, third]),
            f"{self.called('send')} brought it to {copies}: the two others get one copy each",
        )

    @plays_peer
    async def test_a_temporary_refusal_is_temporary(self, extension: Transport) -> None:
        envelope = self.envelope("m1", Behaviour.DEFERS)
        outcomes = await self.sent(extension, envelope)
        self.expect(
            outcomes, envelope, Disposition.TEMPORARY, why="the peer asked to try again later"
        )

    @plays_peer
    async def test_a_drop_before_the_dot_is_temporary(self, extension: Transport) -> None:
        envelope = self.envelope("m1", Behaviour.DROPS)
        outcomes = await self.sent(extension, envelope)
        self.expect(
            outcomes,
            envelope,
            Disposition.TEMPORARY,
            why="the connection ended before the message was handed over, so it can safely be sent again",
        )

    @plays_peer
    async def test_a_drop_after_the_dot_is_uncertain(self, extension: Transport) -> None:
        envelope = self.envelope("m1", Behaviour.LOSES_REPLY)
        outcomes = await self.sent(extension, envelope)
        self.expect(
            outcomes,
            envelope,
            Disposition.UNCERTAIN,
            why="the message was handed over and the reply never came, so nobody knows",
        )

    @plays_peer
    async def test_it_works_again_after_failures(self, extension: Transport) -> None:
        for n, behaviour in enumerate((Behaviour.DROPS, Behaviour.REFUSES, Behaviour.DEFERS)):
            if behaviour.name.lower() not in self._impossible():
                await self.sent(extension, self.envelope(f"bad{n}", behaviour))
        envelope = self.envelope("m1", Behaviour.ACCEPTS)
        outcomes = await self.sent(extension, envelope)
        self.expect(
            outcomes,
            envelope,
            Disposition.ACCEPTED,
            why="what went wrong with another message is over; do not reuse a broken connection",
        )

    def _impossible(self) -> set[str]:
        """Behaviours that the peer cannot play, by the tests declared so."""
        tests = {
            "test_a_drop_before_the_dot_is_temporary": "drops",
            "test_one_of_three_recipients_is_refused": "refuses",
            "test_a_temporary_refusal_is_temporary": "defers",
        }
        return {behaviour for test, behaviour in tests.items() if test in self.cannot}

    # --- silence ---

    @plays_peer
    async def test_a_silent_peer_is_waited_for_and_a_cancelled_call_ends(
        self, extension: Transport
    ) -> None:
        envelope = self.envelope("m1", Behaviour.HANGS)
        await hang(self.called("send"), self._sending(extension, envelope, NotingAttempt()))

    @plays_peer
    async def test_a_peer_silent_after_the_dot_is_waited_for_and_a_cancelled_call_ends(
        self, extension: Transport
    ) -> None:
        envelope = self.envelope("m1", Behaviour.HANGS_AFTER)
        await hang(self.called("send"), self._sending(extension, envelope, NotingAttempt()))

    # --- the attempt ---

    @reaches_peer
    async def test_the_attempt_is_announced_in_order(self, extension: Transport) -> None:
        attempt = NotingAttempt()
        await self.sent(extension, self.envelope("m1", Behaviour.ACCEPTS), attempt)
        promise(
            attempt.calls == ["begin", "before_dot"],
            f"{self.called('send')} called {attempt.calls or 'nothing'} of its attempt: call"
            " attempt.begin() once before the first bytes about the message leave, and await"
            " attempt.before_dot() once right before the bytes that hand it over; without them every"
            " failure counts as uncertain",
        )

    @reaches_peer
    async def test_nothing_is_handed_over_before_the_intent_is_committed(
        self, extension: Transport
    ) -> None:
        reached, committed = asyncio.Event(), asyncio.Event()

        async def commit() -> None:
            reached.set()
            await committed.wait()

        envelope = self.envelope("m1", Behaviour.ACCEPTS)
        sending = asyncio.ensure_future(
            self.sent(extension, envelope, NotingAttempt(at_dot=commit))
        )
        waiting = asyncio.ensure_future(reached.wait())
        try:
            await asyncio.wait({sending, waiting}, return_when="FIRST_COMPLETED", timeout=4)
            if reached.is_set():
                await asyncio.wait({sending}, timeout=HANGING_SECONDS)
            copies = await self.copies(envelope)
            promise(
                reached.is_set() and not sending.done() and not copies,
                f"{self.called('send')} handed the message over before attempt.before_dot() had"
                " returned: await it, and only then send the bytes that hand the message over",
            )
            committed.set()
            self.expect(
                await sending, envelope, Disposition.ACCEPTED, why="the intent was committed"
            )
        finally:
            for task in (sending, waiting):
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait({sending, waiting}, timeout=1)

    async def test_an_attempt_that_may_not_begin_sends_nothing(self, extension: Transport) -> None:
        def revoke() -> None:
            raise AttemptRevoked("sending is suspended")

        await self._revoked(extension, NotingAttempt(at_begin=revoke), "begin")

    async def test_an_attempt_revoked_at_the_dot_hands_nothing_over(
        self, extension: Transport
    ) -> None:
        async def revoke() -> None:
            raise AttemptRevoked("the claim was lost")

        await self._revoked(extension, NotingAttempt(at_dot=revoke), "before_dot")

    async def _revoked(self, transport: Transport, attempt: NotingAttempt, call: str) -> None:
        envelope = self.envelope("m1", Behaviour.ACCEPTS, Behaviour.ACCEPTS)
        try:
            outcomes = await self.sent(transport, envelope, attempt)
        except AttemptRevoked:
            outcomes = {}
        claimed = REVOKED.intersection(outcome.disposition for outcome in outcomes.values())
        promise(
            not claimed and not await self.copies(envelope),
            f"{self.called('send')} went on although attempt.{call}() raised AttemptRevoked: let it"
            " through (after cleaning up); the message belongs to somebody else now",
        )
        promise(
            attempt.calls.count(call) == 1,
            f"{self.called('send')} called attempt.{call}() {attempt.calls.count(call)} times: once",
        )

    # --- isolation ---

    @plays_peer
    async def test_concurrent_sends_do_not_mix(self, extension: Transport) -> None:
        envelopes = [self.envelope(f"m{n}", Behaviour.ACCEPTS) for n in range(20)]
        found = await asyncio.gather(*(self.sent(extension, envelope) for envelope in envelopes))
        for envelope, outcomes in zip(envelopes, found, strict=True):
            self.expect(outcomes, envelope, Disposition.ACCEPTED, why="20 at once are few")
            copies = await self.copies(envelope)
            promise(
                copies == list(envelope.recipients),
                f"{self.called('send')} brought message '{envelope.message_id}' to {copies or 'nobody'}"
                " when 20 were sent at once: keep nothing of a message in self",
            )

    @reaches_peer
    async def test_the_envelope_is_not_touched(self, extension: Transport) -> None:
        envelope = self.envelope("m1", Behaviour.ACCEPTS, Behaviour.ACCEPTS)
        before = deepcopy((envelope, self._peer.account))
        await self.sent(extension, envelope)
        promise(
            (envelope, self._peer.account) == before,
            f"{self.called('send')} changed envelope or account: later attempts need them unchanged",
        )

    @plays_peer
    async def test_no_secret_is_in_outcomes_or_log(
        self,
        extension: Transport,
        secrets: frozenset[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        texts: list[str] = []
        with caplog.at_level(logging.DEBUG):
            for n, behaviour in enumerate(
                (Behaviour.ACCEPTS, Behaviour.REFUSES, Behaviour.DEFERS, Behaviour.DROPS)
            ):
                if behaviour.name.lower() not in self._impossible():
                    outcomes = await self.sent(extension, self.envelope(f"m{n}", behaviour))
                    texts += [outcome.text for outcome in outcomes.values()]
        self.keeps_secrets(caplog.text, secrets)
        self.keeps_secrets("\n".join(texts), secrets, "the text of an outcome")

    @plays_peer
    async def test_stop_ends_what_hangs(
        self, make: Callable[[], Transport], extension: Transport
    ) -> None:
        """The service cancels what is under way and then stops: both have to be quick."""
        if "test_a_silent_peer_is_waited_for_and_a_cancelled_call_ends" in self.cannot:
            pytest.skip("no peer that hangs")
        transport = make()
        await self.start(transport)
        sending = self._sending(transport, self.envelope("m1", Behaviour.HANGS), NotingAttempt())
        task = asyncio.ensure_future(sending())
        await asyncio.wait({task}, timeout=HANGING_SECONDS)
        await end(self.called("send"), task)
        await self.stop(transport)


def _body(data: bytes) -> bytes:
    """The text of a message, whatever header fields a transport adds and however it ends lines."""
    return data.replace(b"\r\n", b"\n").partition(b"\n\n")[2].rstrip(b"\n")
