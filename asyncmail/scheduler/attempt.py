"""One attempt at one claimed message, from the stored payload to what a transport said.

Whatever goes wrong on the way becomes a ``Delivery`` or a ``Decision`` of the outcome table; nothing but
a revoked attempt leaves without one.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Protocol

from asyncmail import mime, outcome
from asyncmail.clock import Clock
from asyncmail.errors import AttachmentError, AttemptRevoked, BuildError, Rejected, StoreError
from asyncmail.failpoints import failpoint
from asyncmail.model import (
    Account,
    Attachment,
    Delivery,
    Disposition,
    Envelope,
    Message,
    OnUncertain,
)
from asyncmail.outcome import Decision, History, Policy
from asyncmail.payload import message_from_payload
from asyncmail.plugins.guard import (
    TRANSPORT_DEADLINE,
    ExtensionFailed,
    ExtensionQuarantined,
    ExtensionTimeout,
    GuardedTask,
)
from asyncmail.plugins.interfaces import Transport
from asyncmail.plugins.kinds import OWN_PACKAGE
from asyncmail.plugins.manager import Extensions, Loaded
from asyncmail.scheduler.budget import ByteBudget
from asyncmail.scheduler.fetching import Fetcher, is_external
from asyncmail.scheduler.filters import filtered
from asyncmail.store.base import Claim, Store

log: Final = logging.getLogger("asyncmail.dispatch")

MAX_RECIPIENTS = 100  # of one transaction (RFC 5321 4.5.3.1.8); the rest goes in the next
UNREADABLE = ("?",)  # stands for the recipients of a payload that today's rules refuse
BUILD_OFF_LOOP_BYTES = 262_144  # payloads beyond this are built in a thread


class Gate(Protocol):
    """What may be begun and finished now: envelopes, dots."""

    may_begin: bool
    may_finish: bool


@dataclass(slots=True)
class ClaimedAttempt:
    """The ``Attempt`` that a transport is given, and what the core learns about it on the way.

    ``gate`` says whether new envelopes and new dots are welcome now.
    """

    claim: Claim
    store: Store
    clock: Clock
    gate: Gate
    started_ts: float  # wall
    task: GuardedTask[Decision] = field(init=False)
    recipients: tuple[str, ...] = ()
    transport: str | None = None
    delivery: Delivery | None = None
    begun_at: float | None = None  # steady; the first bytes of the envelope
    dot_begun: bool = False
    revoked: bool = False
    over: bool = False  # an abandoned transport may still ask

    @property
    def number(self) -> int:
        return self.claim.attempts + self.claim.uncertain + 1

    @property
    def on_uncertain(self) -> OnUncertain:
        return OnUncertain.HOLD if self.claim.hold else OnUncertain.RETRY

    @property
    def pending(self) -> list[str]:
        return [r for r in self.recipients if r not in self.claim.settled]

    @property
    def taken_back(self) -> bool:
        """Whether the message was not handed over because the core said so."""
        return self.revoked and not self.dot_begun

    def begin(self) -> None:
        if self.over or self.revoked or not self.gate.may_begin:
            raise self._revoke("sending is suspended or the service is stopping")
        if self.begun_at is None:
            self.begun_at = self.clock.steady()

    async def before_dot(self) -> None:
        health = self.store.health()
        if not health.ok:
            raise self._revoke(f"its result could not be recorded: {health.reason}")
        if self.over or self.revoked or not self.gate.may_finish:
            raise self._revoke("the service is stopping")
        if self.claim.hold:
            await self._mark_intent()
        if self.over or self.revoked:
            raise self._revoke("the service is stopping")
        self.dot_begun = True

    async def _mark_intent(self) -> None:
        failpoint("data.intent_before")
        try:
            held = await self.store.mark_intent(self.claim)
        except StoreError as error:
            raise self._revoke(f"its intent could not be recorded: {error}") from error
        failpoint("data.intent_committed")
        if not held:
            raise self._revoke("the claim was lost")

    def progress(self) -> None:
        self.task.progress()

    def _revoke(self, why: str) -> AttemptRevoked:
        self.revoked = True
        return AttemptRevoked(f"message '{self.claim.id}' is not sent now: {why}")


class Attempts:
    """Runs attempts. Its only memory: which transports announce the dot, the built-in ones at least."""

    def __init__(
        self,
        store: Store,
        extensions: Extensions,
        fetcher: Fetcher,
        clock: Clock,
        policy: Policy,
        *,
        budget: ByteBudget,
        max_message_bytes: int,
        mask: Callable[[str], str],
    ) -> None:
        self._store = store
        self._extensions = extensions
        self._fetcher = fetcher
        self._clock = clock
        self._policy = policy
        self._budget = budget
        self._max_message_bytes = max_message_bytes
        self._mask = mask
        self._announcing = {
            loaded.name
            for loaded in extensions.transports.values()
            if loaded.package == OWN_PACKAGE
        }

    async def run(
        self, task: GuardedTask[Decision], account: Account | None, attempt: ClaimedAttempt
    ) -> Decision:
        """Make the attempt and decide; what it raises is for ``decide_failure``."""
        claim = attempt.claim
        message = load(claim)
        attempt.recipients = message.recipients
        if not attempt.pending:  # a new generation for those who have it already
            return self.decide(attempt, local((), ""))
        if self.is_expired(claim):
            return self.decide(attempt, local(attempt.pending, "expired"))
        if account is None:
            return self.decide(attempt, local(attempt.pending, "account deleted"))
        return self.decide(attempt, await self._deliver(task, message, account, attempt))

    def is_expired(self, claim: Claim) -> bool:
        return claim.expires_ts is not None and claim.expires_ts <= self._clock.wall()

    def decide(self, attempt: ClaimedAttempt, delivery: Delivery) -> Decision:
        """Ask the outcome table about a delivery."""
        attempt.delivery = delivery = self._masked(delivery)
        return self.decide_local(attempt.claim, attempt.recipients, delivery)

    def decide_local(self, claim: Claim, recipients: Sequence[str], delivery: Delivery) -> Decision:
        """The same for a claim that was never attempted."""
        return outcome.decide(
            history_of(claim), recipients, delivery, self._policy, now=self._clock.steady()
        )

    def _masked(self, delivery: Delivery) -> Delivery:
        """The same without secrets in what the peer said: a server may repeat what it was sent."""
        mask = self._mask
        texts = [mask(o.text) for o in delivery.outcomes]
        if texts == [o.text for o in delivery.outcomes]:
            return delivery
        outcomes = [replace(o, text=t) for o, t in zip(delivery.outcomes, texts, strict=True)]
        return replace(delivery, outcomes=tuple(outcomes))

    def decide_failure(self, attempt: ClaimedAttempt, error: BaseException) -> Decision | None:
        """An attempt that failed or was taken back; ``None``: the claim goes back untouched."""
        attempt.recipients = attempt.recipients or recipients_of(attempt.claim)
        if isinstance(error, AttemptRevoked):
            attempt.revoked = True
        if attempt.taken_back and not self._may_have_left(attempt):
            if attempt.begun_at is None:
                return None
            untried = Delivery.of_all(self._in_hand(attempt), Disposition.UNTRIED, charged=False)
            return self.decide(attempt, untried)
        if self._may_have_left(attempt):
            text = str(error) or "the service stopped before the reply to the dot"
            return self.decide(
                attempt, Delivery.of_all(self._in_hand(attempt), Disposition.UNCERTAIN, text)
            )
        if isinstance(error, asyncio.CancelledError | StoreError):
            return None
        if isinstance(error, ExtensionTimeout):
            begun = attempt.begun_at is not None
            if attempt.transport is not None and not begun:
                return self.decide(attempt, unavailable(attempt.pending, str(error)))
            temporary = Delivery.of_all(
                self._in_hand(attempt),
                Disposition.TEMPORARY,
                str(error),
                transaction_begun=begun,
            )
            return self.decide(attempt, temporary)
        if isinstance(error, Rejected):
            # Accepted by an earlier release with other rules: its client must learn it.
            return self.decide(attempt, local(attempt.pending, str(error)))
        log.error("message '%s': unexpected failure", attempt.claim.id, exc_info=error)
        return outcome.decide_unexpected(
            history_of(attempt.claim), attempt.recipients, _named(error), self._policy
        )

    def _may_have_left(self, attempt: ClaimedAttempt) -> bool:
        """Whether a failure is uncertain: also that of a transport that was never seen to announce
        the dot, for it may have sent the message all the same."""
        silent = attempt.transport is not None and attempt.transport not in self._announcing
        return attempt.dot_begun or silent

    def _in_hand(self, attempt: ClaimedAttempt) -> list[str]:
        return attempt.pending[:MAX_RECIPIENTS]

    async def _deliver(
        self,
        task: GuardedTask[Decision],
        message: Message,
        account: Account,
        attempt: ClaimedAttempt,
    ) -> Delivery:
        claim, pending = attempt.claim, attempt.pending
        transport = self._extensions.transports.get(account.transport)
        if transport is None:
            return unavailable(pending, f"transport '{account.transport}' is not available")
        need = self._max_message_bytes if any(map(is_external, message.attachments)) else 0
        async with self._budget.hold(need) as hold:
            try:
                attachments = await self._fetcher.fetch(claim, message)
                data = await self._build(claim, message, attachments)
                data = await filtered(
                    self._extensions.filters,
                    task,
                    data,
                    message,
                    account,
                    max_bytes=self._max_message_bytes,
                )
            except AttachmentError as error:
                return local(pending, str(error), permanent=error.permanent)
            except BuildError as error:
                return local(pending, str(error))
            except (ExtensionFailed, ExtensionQuarantined) as error:
                return local(pending, str(error), permanent=False)
            failpoint("build.done")
            hold.shrink(len(data))
            del attachments
            return await self._send(task, message, data, transport, account, attempt)

    async def _send(
        self,
        task: GuardedTask[Decision],
        message: Message,
        data: bytes,
        transport: Loaded[Transport],
        account: Account,
        attempt: ClaimedAttempt,
    ) -> Delivery:
        recipients = tuple(self._in_hand(attempt))
        envelope = Envelope(message.id, message.envelope_sender, recipients, data, message.priority)
        attempt.transport = transport.name
        try:
            return await task.call(
                transport,
                partial(transport.extension.send, envelope, account, attempt),
                deadline=TRANSPORT_DEADLINE,
                expect=partial(_complete, recipients),
            )
        except ExtensionQuarantined as error:
            return unavailable(attempt.pending, str(error))
        except ExtensionFailed as error:
            if not isinstance(error.__cause__, _Nonsense):
                raise
            text = f"transport '{transport.name}' answered nonsense"
            uncertain = self._may_have_left(attempt)
            disposition = Disposition.UNCERTAIN if uncertain else Disposition.TEMPORARY
            return Delivery.of_all(recipients, disposition, text)
        finally:
            if attempt.dot_begun:
                self._announcing.add(transport.name)

    async def _build(
        self, claim: Claim, message: Message, attachments: Sequence[Attachment]
    ) -> bytes:
        size = claim.size + sum(len(a.content) for a in attachments)
        if size > BUILD_OFF_LOOP_BYTES:
            data = await asyncio.to_thread(mime.build, message, attachments)
        else:
            data = mime.build(message, attachments)
        if len(data) > self._max_message_bytes:
            raise BuildError(
                f"too large: {len(data)} bytes built, {self._max_message_bytes} allowed"
            )
        return data


class _Nonsense(TypeError):
    """What a transport returned is not an answer about this envelope."""


def _complete(recipients: Sequence[str], answer: object) -> Delivery:
    """Only a complete answer about exactly these recipients is believed."""
    if not isinstance(answer, Delivery):
        raise _Nonsense(f"send() should return a Delivery, not {type(answer).__name__}")
    answered = [outcome.recipient for outcome in answer.outcomes]
    if answered != list(recipients) and sorted(answered) != sorted(recipients):
        raise _Nonsense("send() should return one outcome for each recipient of the envelope")
    return answer


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def load(claim: Claim) -> Message:
    """The message of a claim. Raises ``Rejected`` if it breaks today's rules."""
    if claim.message is not None:
        return claim.message
    return message_from_payload(
        json.loads(claim.payload),
        tenant_id=claim.lane.tenant_id,
        account_id=claim.lane.account_id,
        priority=claim.priority,
        created_ts=claim.created_ts,
        generation=claim.generation,
    )


def recipients_of(claim: Claim) -> tuple[str, ...]:
    """All recipients of a claimed message, for decisions without an attempt."""
    try:
        return load(claim).recipients
    except Rejected:
        return UNREADABLE


def history_of(claim: Claim) -> History:
    """What the outcome table wants to know of a claim."""
    return History(
        created_ts=claim.ready_ts,
        attempts=claim.attempts,
        uncertain=claim.uncertain,
        rescues=claim.rescues,
        unexpected=claim.unexpected,
        hold=claim.hold,
        settled=claim.settled,
    )


def local(recipients: Sequence[str], text: str, *, permanent: bool = True) -> Delivery:
    """A failure on this side, before any connection was needed."""
    disposition = Disposition.PERMANENT if permanent else Disposition.TEMPORARY
    return Delivery.of_all(recipients, disposition, text, transaction_begun=False)


def unavailable(recipients: Sequence[str], text: str) -> Delivery:
    """A failure of what the account stands on; its breaker opens."""
    return Delivery.of_all(
        recipients,
        Disposition.TEMPORARY,
        text,
        account_problem=True,
        charged=False,
        transaction_begun=False,
    )
