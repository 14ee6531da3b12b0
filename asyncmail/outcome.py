"""The outcome table: what a failure at a given moment means, and what happens next.

There is no second one. ``classify`` is its left half: moment and reply to disposition and blame.
``decide`` is its right half: what an attempt brought, with the message's history and the policy, to the
result that is recorded.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite

from asyncmail.model import Delivery, Disposition, RecipientOutcome

MAX_ERROR_LENGTH = 500
UNCHARGED_DELAY = 1.0  # seconds; a failure that costs nothing must not become a busy loop
MAX_RESCUES = 5  # the fifth lost claim of a message is its last
MAX_UNEXPECTED = 3  # unexpected exceptions until a message is given up


class Phase(StrEnum):
    """How far a transaction had come. ``DOT``: the final dot was written, at least in part."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"


ACCOUNT_PHASES = frozenset({Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.STARTTLS, Phase.AUTH})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one failure, or the reply to the dot, means for the recipients it concerns."""

    disposition: Disposition
    account_problem: bool = False
    charged: bool = True


def classify(phase: Phase, code: int | None, *, reused: bool = False) -> Verdict:
    """Left half of the table: the moment of failure and the reply code (``None``: none came).

    ``reused``: the connection had carried a message before; its 421 is the server's ordinary way to
    end a session and costs the message nothing. Code 552 to RCPT is "too many recipients"
    (RFC 5321 4.5.3.1.10), as 452 is: the rest of the recipients goes in another transaction.
    """
    kind = code // 100 if code is not None else None
    if phase in ACCOUNT_PHASES:
        return Verdict(Disposition.TEMPORARY, account_problem=True, charged=False)
    if phase is Phase.DOT:
        match kind:
            case 2:
                return Verdict(Disposition.ACCEPTED)
            case 4:
                return Verdict(Disposition.TEMPORARY)
            case 5:
                return Verdict(Disposition.PERMANENT)
            case _:
                return Verdict(Disposition.UNCERTAIN)
    if phase is Phase.RCPT and kind == 2:
        return Verdict(Disposition.ACCEPTED)
    if phase is Phase.RCPT and code in (452, 552):
        return Verdict(Disposition.UNTRIED, charged=False)
    if kind == 5:
        return Verdict(Disposition.PERMANENT)
    return Verdict(Disposition.TEMPORARY, charged=not (code == 421 and reused))


# --- right half ----------------------------------------------------------------------------------


class Next(StrEnum):
    """What becomes of a message after an attempt."""

    SENT = "sent"
    ERROR = "error"
    RETRY = "retry"  # at ``due`` (steady time)
    AGAIN = "again"  # at once: recipients are left over, or the account's breaker holds it


@dataclass(slots=True)
class History:
    """What the store knows of a claimed message when an attempt on it ends."""

    created_ts: float  # or the scheduled time, if later: the age counts from here
    attempts: int = 0
    uncertain: int = 0
    rescues: int = 0
    unexpected: int = 0
    hold: bool = False
    settled: Mapping[str, RecipientOutcome] = field(default_factory=dict)  # accepted or refused


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that the table needs; times in seconds."""

    retry_delays: Sequence[float] = (60, 300, 900, 3600, 7200)
    max_attempts: int = 64
    max_age: float = 432000
    max_uncertain: int = 2
    jitter: float = 0.1


@dataclass(slots=True)
class Decision:
    """The result of an attempt, ready to be recorded."""

    next: Next
    error: str | None = None
    delay: float = 0.0  # for RETRY
    attempts: int = 0
    uncertain: int = 0
    rescues: int = 0
    unexpected: int = 0
    settled: Mapping[str, RecipientOutcome] = field(default_factory=dict)
    was_uncertain: bool = False  # this attempt ended without knowing


def decide(
    history: History,
    recipients: Sequence[str],
    delivery: Delivery,
    policy: Policy,
    *,
    now: float,
    spread: Callable[[], float] = random.random,
) -> Decision:
    """Right half of the table. ``recipients``: all of the message's; ``now``: steady seconds."""
    settled = dict(history.settled)
    waiting: list[RecipientOutcome] = []
    for outcome in delivery.outcomes:
        if outcome.disposition in (Disposition.ACCEPTED, Disposition.PERMANENT):
            settled[outcome.recipient] = outcome
        else:
            waiting.append(outcome)
    pending = [recipient for recipient in recipients if recipient not in settled]
    temporary = [o for o in waiting if o.disposition is Disposition.TEMPORARY]
    unsure = [o for o in waiting if o.disposition is Disposition.UNCERTAIN]

    attempts = history.attempts + (1 if temporary and delivery.charged else 0)
    uncertain = history.uncertain + (1 if unsure else 0)
    counts = _Counts(
        attempts, uncertain, history.rescues, history.unexpected, settled, bool(unsure)
    )

    if not pending:
        return counts.finished(recipients)
    words = _words(unsure or temporary, recipients)
    if unsure and history.hold:
        return counts.failed(recipients, f"delivery uncertain: {words}")
    if unsure and uncertain > policy.max_uncertain:
        return counts.failed(recipients, f"delivery uncertain {uncertain} times: {words}")
    if temporary or unsure:
        if unsure:
            words = f"delivery uncertain, trying again: {words}"
        if attempts >= policy.max_attempts:
            return counts.failed(recipients, f"given up after {attempts} attempts: {words}")
        if now - history.created_ts >= policy.max_age:
            return counts.failed(recipients, f"given up after {_age(policy)}: {words}")
        if delivery.account_problem:
            return counts.again(words)
        if not delivery.charged and not unsure:
            return counts.later(words, _sane(delivery.retry_after, policy) or UNCHARGED_DELAY)
        step = max(attempts + uncertain, 1)
        return counts.later(words, _backoff(policy, step, delivery.retry_after, spread))
    return counts.again(None)


def decide_rescued(
    history: History, recipients: Sequence[str], *, dot_may_have_left: bool
) -> Decision:
    """A claim whose owner died. Under ``retry`` each one counts as possibly uncertain.

    Under ``hold`` the intent is committed before the dot, so it is known which messages to hold.
    """
    counts = _Counts(
        history.attempts,
        history.uncertain,
        history.rescues + (0 if history.hold and not dot_may_have_left else 1),
        history.unexpected,
        dict(history.settled),
        dot_may_have_left or not history.hold,
    )
    if history.hold:
        if dot_may_have_left:
            return counts.failed(
                recipients, "delivery uncertain: the service stopped after the dot"
            )
        return counts.again(None)
    if counts.rescues >= MAX_RESCUES:
        return counts.failed(
            recipients,
            f"delivery uncertain: the service stopped {counts.rescues} times in an attempt",
        )
    return counts.again("delivery uncertain, trying again: the service stopped in an attempt")


def decide_unexpected(
    history: History,
    recipients: Sequence[str],
    failure: str,
    policy: Policy,
    *,
    spread: Callable[[], float] = random.random,
) -> Decision:
    """An exception nobody foresaw, before the dot: the message is given up after the third."""
    counts = _Counts(
        history.attempts + 1,
        history.uncertain,
        history.rescues,
        history.unexpected + 1,
        dict(history.settled),
        False,
    )
    words = f"unexpected failure: {failure}"
    if counts.unexpected >= MAX_UNEXPECTED or counts.attempts >= policy.max_attempts:
        return counts.failed(recipients, words)
    return counts.later(words, _backoff(policy, counts.attempts, None, spread))


def decide_over_limit(
    history: History, recipients: Sequence[str], *, wait: float, error_over: bool
) -> Decision:
    """No unit of the rate limit was left for a claim; ``wait``: seconds until it may be tried again."""
    counts = _Counts.unchanged(history)
    if error_over:
        return counts.failed(recipients, "rate limit exceeded")
    return counts.later("rate limit reached, waiting for the next unit", wait)


@dataclass(slots=True)
class _Counts:
    """The new counters of a message, with one constructor per way to go on."""

    attempts: int
    uncertain: int
    rescues: int
    unexpected: int
    settled: Mapping[str, RecipientOutcome]
    was_uncertain: bool

    @classmethod
    def unchanged(cls, history: History) -> _Counts:
        return cls(
            history.attempts,
            history.uncertain,
            history.rescues,
            history.unexpected,
            dict(history.settled),
            False,
        )

    def _decision(self, next_: Next, error: str | None, delay: float = 0.0) -> Decision:
        return Decision(
            next_,
            clean(error) if error else None,
            delay,
            self.attempts,
            self.uncertain,
            self.rescues,
            self.unexpected,
            self.settled,
            self.was_uncertain,
        )

    def finished(self, recipients: Sequence[str]) -> Decision:
        refused = self._refused(recipients)
        if not refused:
            return self._decision(Next.SENT, None)
        return self._error(recipients, _words(refused, recipients))

    def failed(self, recipients: Sequence[str], error: str) -> Decision:
        refused = self._refused(recipients)
        return self._error(
            recipients, f"{error}; {_words(refused, recipients)}" if refused else error
        )

    def later(self, error: str, delay: float) -> Decision:
        return self._decision(Next.RETRY, error, delay)

    def again(self, error: str | None) -> Decision:
        return self._decision(Next.AGAIN, error)

    def _error(self, recipients: Sequence[str], error: str) -> Decision:
        """The final words name what is uncertain, also where a later attempt ended otherwise."""
        unsure = self.uncertain + self.rescues
        if unsure and "uncertain" not in error:
            error = f"{error} (after {unsure} uncertain attempt{'s' if unsure > 1 else ''})"
        return self._decision(Next.ERROR, self._partial(recipients, error))

    def _refused(self, recipients: Sequence[str]) -> list[RecipientOutcome]:
        return self._settled_as(Disposition.PERMANENT, recipients)

    def _settled_as(
        self, disposition: Disposition, recipients: Sequence[str]
    ) -> list[RecipientOutcome]:
        """Of this generation's recipients; the settled ones of an earlier generation are kept too."""
        return [
            o
            for o in self.settled.values()
            if o.disposition is disposition and o.recipient in recipients
        ]

    def _partial(self, recipients: Sequence[str], error: str) -> str:
        """Name how many recipients have the message, where some do and others never will."""
        reached = len(self._settled_as(Disposition.ACCEPTED, recipients))
        if not reached:
            return error
        return f"partial: delivered to {reached} of {len(recipients)}; {error}"


def clean(text: str) -> str:
    """Text of a peer, safe for logs, JSON and reports: no control characters, at most 500 long."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= MAX_ERROR_LENGTH else shown[: MAX_ERROR_LENGTH - 3] + "..."


def _words(outcomes: Sequence[RecipientOutcome], recipients: Sequence[str]) -> str:
    """``a@x, b@x: 550 5.1.1 no such user; c@x: ...``; the reply alone if it is the same for all."""
    by_reply: dict[str, list[str]] = {}
    for outcome in outcomes:
        by_reply.setdefault(outcome.describe(), []).append(outcome.recipient)
    if len(by_reply) == 1 and len(outcomes) == len(recipients):
        return next(iter(by_reply))
    return "; ".join(f"{', '.join(who)}: {reply}" for reply, who in by_reply.items())


def _age(policy: Policy) -> str:
    hours = policy.max_age / 3600
    return f"{hours / 24:g} days" if hours >= 24 else f"{hours:g} hours"


def _backoff(policy: Policy, step: int, wish: float | None, spread: Callable[[], float]) -> float:
    """The last delay repeats; jitter only lengthens, so a server's wish is never undercut."""
    base = policy.retry_delays[min(step, len(policy.retry_delays)) - 1]
    return max(base, _sane(wish, policy)) * (1 + policy.jitter * spread())


def _sane(wish: float | None, policy: Policy) -> float:
    """A peer's or plugin's wish, in seconds, as far as it makes sense."""
    return min(max(wish, 0.0), policy.max_age) if wish is not None and isfinite(wish) else 0.0
