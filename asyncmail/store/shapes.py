"""What is handed to a store and what it answers with, never changed. Imported from ``store.base``.

What comes several times for every message is not frozen: that makes a dataclass four times as dear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from asyncmail.model import Message, RecipientOutcome


class Status(StrEnum):
    """The state of a message as clients see it."""

    QUEUED = "queued"
    SENDING = "sending"
    DEFERRED = "deferred"
    SENT = "sent"
    ERROR = "error"


class Lane(NamedTuple):
    """An account of a tenant: the unit that shares slots, limits and connections."""

    tenant_id: str
    account_id: str


# --- accept --------------------------------------------------------------------------------------


@dataclass(slots=True)
class NewMessage:
    """A valid message to be stored. ``payload`` is its JSON text, ``created_ts`` fixed (wall).

    ``message``: what the payload says, if that is known; the first claim brings it along.
    """

    tenant_id: str
    id: str
    account_id: str
    priority: int
    created_ts: float
    payload: str = field(repr=False)
    deferred_ts: float | None = None  # wall; not to be started before
    expires_ts: float | None = None
    hold: bool | None = None  # on_uncertain of the message itself; None: the account's
    tags: tuple[str, ...] = ()  # shown to sinks with each result
    message: Message | None = field(default=None, repr=False, compare=False)


class Addition(StrEnum):
    """What became of a message handed to ``Store.add``; the last three are duplicates."""

    STORED = "stored"
    REPLACED = "replaced"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"


# --- claim ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pick:
    """A wish for up to ``count`` ready messages of a lane, of these priorities, lowest first.

    ``hold`` is the lane's policy on uncertain outcomes, for messages that have none of their own.
    """

    lane: Lane
    priorities: tuple[int, ...]
    count: int
    hold: bool = False


@dataclass(slots=True)
class Claim:
    """A message that this process, and nobody else, may send now.

    ``over_limit``: no unit of the account's rate limit was left; it is claimed only to be deferred or
    failed, and ``limited_until`` (steady) is when there will be one.
    ``dot_may_have_left`` is set on rescued claims whose intent was recorded. ``message``: what
    the payload says, where nobody needs to read it again; then ``payload`` is empty.
    """

    key: int
    token: str
    lane: Lane
    id: str
    generation: int
    priority: int
    size: int  # of the payload, in bytes
    payload: str = field(repr=False)
    created_ts: float
    ready_ts: float  # steady; when it could first have been started
    expires_ts: float | None
    hold: bool
    attempts: int
    uncertain: int
    rescues: int
    unexpected: int
    settled: Mapping[str, RecipientOutcome]
    digests: Mapping[str, str] = field(default_factory=dict)
    over_limit: bool = False
    limited_until: float | None = None
    dot_may_have_left: bool = False
    message: Message | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Claims:
    """What ``Store.claim`` found.

    ``exhausted``: lanes of which a pick that includes the most urgent priority (0) got fewer messages
    than it wished for, so that nothing of that pick's priorities is left. A pick of lower priorities
    alone says nothing about the lane.
    """

    claims: Sequence[Claim]
    exhausted: frozenset[Lane]
    cut_short: bool = False  # at the bytes, so that not every pick was looked at to its end


# --- record --------------------------------------------------------------------------------------


@dataclass(slots=True)
class AttemptRecord:
    """A line of a message's history. ``outcome`` is one word; times are wall seconds."""

    started_ts: float
    ended_ts: float
    outcome: str  # sent, error, retry, again, with "uncertain" kept apart
    uncertain: bool
    error: str | None
    recipients: Sequence[RecipientOutcome] = ()


@dataclass(slots=True)
class Result:
    """What is recorded of a claim, if ``token`` is still its claim.

    Exactly one of: ``sent_ts``, ``error_ts`` (final; a report is due to every active sink), ``due``
    (steady; waiting), or none of them (ready again at once). ``unit_used``: the claim's unit of the
    rate limit counts from ``now`` for one window; else it is given back. ``deferred_ts`` is shown.
    ``report``: report it although it is not final (``report_deferrals``).
    """

    key: int
    token: str
    lane: Lane
    sent_ts: int | None = None
    error_ts: int | None = None
    error: str | None = None
    due: float | None = None
    deferred_ts: int | None = None
    attempts: int = 0
    uncertain: int = 0
    rescues: int = 0
    unexpected: int = 0
    settled: Mapping[str, RecipientOutcome] = field(default_factory=dict)
    unit_used: bool = False
    report: bool = False
    attempt: AttemptRecord | None = None


# --- look ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Filter:
    """Which messages a listing shows."""

    tenant_id: str
    account_id: str | None = None
    statuses: frozenset[Status] = frozenset()  # empty: all


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """A message as listed; ``payload`` is the JSON text as stored."""

    key: int
    tenant_id: str
    id: str
    account_id: str
    generation: int
    priority: int
    status: Status
    deferred_ts: int | None
    sent_ts: int | None
    error_ts: int | None
    error: str | None
    reported_ts: int | None
    created_at: int
    updated_at: int
    retry_count: int
    payload: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReportRecord:
    """One result and what one sink made of it."""

    sink: str
    generation: int
    result_seq: int
    sent_ts: int | None
    error_ts: int | None
    error: str | None
    acknowledged_ts: int | None


@dataclass(frozen=True, slots=True)
class MessageHistory:
    """A message with all that happened to it, oldest first."""

    record: MessageRecord
    attempts: Sequence[tuple[int, AttemptRecord]]  # (generation, attempt)
    reports: Sequence[ReportRecord]
    settled: Mapping[str, RecipientOutcome]


class Removal(StrEnum):
    """What became of an id handed to ``Store.remove_messages``."""

    REMOVED = "removed"
    NOT_FOUND = "not found"
    IN_FLIGHT = "in flight"
    UNREPORTED = "not yet reported"


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the store can keep what it is given; ``reason`` says why not."""

    ok: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DueTimes:
    """The next moments at which a waiting message becomes ready; ``None``: there is none."""

    wall: float | None
    steady: float | None
