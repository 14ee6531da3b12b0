"""The store's contract: every question and every change that the service asks of a database.

One engine is one subclass. Each writing method is one durable unit: it returns after the commit, and a
cancelled caller never cuts it short. Engines group units that arrive together into one commit.

States of a message: *ready* to be claimed; *waiting* for a time; *claimed*; *final* (sent or error).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from asyncmail.model import Account, RecipientOutcome, Report, RetiredMessage


class Status(StrEnum):
    """The state of a message as clients see it."""

    QUEUED = "queued"
    SENDING = "sending"
    DEFERRED = "deferred"
    SENT = "sent"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Lane:
    """An account of a tenant: the unit that shares slots, limits and connections."""

    tenant_id: str
    account_id: str


# --- accept --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A valid message to be stored. ``payload`` is its JSON text, ``created_ts`` fixed (wall)."""

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


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that this process, and nobody else, may send now.

    ``over_limit``: no unit of the account's rate limit was left; it is claimed only to be deferred or
    failed, and ``limited_until`` (steady) is when there will be one.
    ``dot_may_have_left`` is set on rescued claims whose intent was recorded.
    """

    key: int
    token: str
    lane: Lane
    id: str
    generation: int
    priority: int
    payload: str = field(repr=False)
    created_ts: float
    ready_ts: float  # wall; when it could first have been started
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


@dataclass(frozen=True, slots=True)
class Claims:
    """What ``Store.claim`` found.

    ``exhausted``: lanes of which a pick that includes the most urgent priority (0) got fewer messages
    than it wished for, so that nothing of that pick's priorities is left. A pick of lower priorities
    alone says nothing about the lane.
    """

    claims: Sequence[Claim]
    exhausted: frozenset[Lane]


# --- record --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """A line of a message's history. ``outcome`` is one word; times are wall seconds."""

    started_ts: float
    ended_ts: float
    outcome: str  # sent, error, retry, again, with "uncertain" kept apart
    uncertain: bool
    error: str | None
    recipients: Sequence[RecipientOutcome] = ()


@dataclass(frozen=True, slots=True)
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


class Store(ABC):
    """See the module's docstring. All methods raise ``StoreUnavailable`` when the database cannot
    serve now, and keep nothing of that call."""

    # --- life ---

    @abstractmethod
    async def open(self) -> None:
        """Open, migrate, and take the lock. Raises ``DatabaseUnusable``, ``DatabaseHeld``,
        ``SchemaTooNew``."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was handed in, checkpoint, and let the lock go."""

    @abstractmethod
    def health(self) -> Health:
        """The state after the last commit and the last look at the disk; cheap enough for each dot."""

    # --- accept ---

    @abstractmethod
    async def add(self, messages: Sequence[NewMessage], *, replace: bool = False) -> list[Addition]:
        """Store a batch in one transaction; one answer per message, in order.

        Of two equal ids in a batch the first is stored. An id whose last result is an error starts a
        new generation, whose ``settled`` keeps the recipients that were reached. A sent duplicate
        whose result has been acknowledged is reported once more. ``replace``: an id that is ready or
        waiting takes the new content instead.
        """

    # --- claim ---

    @abstractmethod
    async def promote(self) -> frozenset[Lane]:
        """Make ready what waited until now; the lanes that got something."""

    @abstractmethod
    async def ready_lanes(self) -> frozenset[Lane]:
        """The lanes that have something ready."""

    @abstractmethod
    async def due_times(self) -> DueTimes:
        """When ``promote`` will next have something to do."""

    @abstractmethod
    async def claim(self, picks: Sequence[Pick], *, max_bytes: int) -> Claims:
        """Claim what the picks wish for, in their order, and reserve a unit of the rate limits each.

        Stops when the payloads claimed exceed ``max_bytes``, but gives at least one message.
        Nothing while suspended.
        """

    @abstractmethod
    async def claim_aged(self, ready_before: float, limit: int) -> list[Claim]:
        """Claim ready messages that could have been started before that time (wall)."""

    @abstractmethod
    async def claim_orphans(self, limit: int) -> list[Claim]:
        """Claim ready and waiting messages whose account does not exist any more."""

    @abstractmethod
    async def rescue(self) -> list[Claim]:
        """Take over claims whose owner is gone. Call once after ``open``."""

    @abstractmethod
    async def release(self, claims: Sequence[Claim]) -> None:
        """Give back claims that were never started, as if they had not been made."""

    @abstractmethod
    async def mark_intent(self, claim: Claim) -> bool:
        """Commit that the dot of this claim is about to leave. False: the claim is lost."""

    @abstractmethod
    async def keep_digests(self, claim: Claim, digests: Mapping[str, str]) -> bool:
        """Commit the SHA-256 of fetched attachments by storage path. False: the claim is lost."""

    # --- record ---

    @abstractmethod
    async def record(self, results: Sequence[Result]) -> list[bool]:
        """Record a group; False where the claim was lost and nothing was recorded.

        Waits as long as it takes: while the database is locked or full the results are kept and
        tried again, and ``health`` says why. Only ``close`` ends that with ``StoreUnavailable``.
        """

    # --- report ---

    @abstractmethod
    async def activate_sinks(self, names: Collection[str]) -> dict[str, int]:
        """Make exactly these sinks the ones that results are kept for, from now on.

        Returns how many pending reports each removed sink leaves behind. Messages that now have all
        acknowledgements they need become reported.
        """

    @abstractmethod
    async def unreported(self, sink: str, limit: int) -> list[Report]:
        """The oldest results this sink has not acknowledged, at most one per message, an older
        result of a message always before a newer; without those that ``postpone`` put off."""

    @abstractmethod
    async def acknowledge(self, sink: str, reports: Sequence[Report]) -> None:
        """This sink has taken exactly these results. Waits as ``record`` does."""

    @abstractmethod
    async def postpone(self, sink: str, reports: Sequence[Report], until: float) -> None:
        """Do not offer these to this sink before that time (steady)."""

    @abstractmethod
    async def oldest_unreported(self, sink: str) -> float | None:
        """When (wall) the oldest result that this sink has not acknowledged was recorded."""

    # --- retain ---

    @abstractmethod
    async def retirable(
        self, lane: Lane, before: float, *, limit: int, after_key: int = 0
    ) -> list[tuple[int, RetiredMessage]]:
        """(key, message) of final messages of a lane, acknowledged by all at their current seq (without
        any active sink: final) before that time (wall); by key, greater than ``after_key``."""

    @abstractmethod
    async def retire(self, keys: Sequence[int], before: float) -> int:
        """Delete those of these messages that ``retirable`` would still give; how many went."""

    @abstractmethod
    async def lanes(self) -> frozenset[Lane]:
        """Every lane that has a message or an account."""

    # --- accounts ---

    @abstractmethod
    async def put_account(self, account: Account, *, keep_password: bool) -> None:
        """Insert or replace; ``keep_password`` keeps the stored one. Passwords are encrypted."""

    @abstractmethod
    async def accounts(self, tenant_id: str | None = None) -> list[Account]:
        """All accounts (of a tenant), by id. An account whose password cannot be decrypted has
        ``password`` None and is left to fail its login."""

    @abstractmethod
    async def account(self, lane: Lane) -> Account | None:
        """One account."""

    @abstractmethod
    async def delete_account(self, lane: Lane) -> bool:
        """Forget an account; its messages are then found by ``claim_orphans``."""

    # --- messages ---

    @abstractmethod
    async def remove_messages(self, tenant_id: str, ids: Sequence[str]) -> list[Removal]:
        """Delete ready and waiting messages unreported, and final acknowledged ones."""

    @abstractmethod
    async def messages(
        self, which: Filter, *, limit: int, after_key: int = 0, max_bytes: int
    ) -> list[MessageRecord]:
        """A page by key, greater than ``after_key``; ends at ``limit`` or ``max_bytes`` of payload."""

    @abstractmethod
    async def history(self, tenant_id: str, id: str) -> MessageHistory | None:
        """One message with its attempts and reports."""

    # --- the queue as a whole ---

    @abstractmethod
    def pending(self) -> int:
        """Messages that are not final; kept by counting changes, not rows."""

    @abstractmethod
    async def oldest_ready(self) -> float | None:
        """``ready_ts`` (wall) of the ready message that has waited longest."""

    @abstractmethod
    async def is_active(self) -> bool:
        """Whether sending is on."""

    @abstractmethod
    async def set_active(self, active: bool) -> None:
        """Suspend or activate, durably."""
