"""The values that the parts of the service and its plugins hand to each other; all of them frozen.

Times named ``*_ts`` are seconds since the epoch, UTC. Addresses are addr-specs (RFC 5321 4.1.2) with
the domain in lower case and as A-labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

DEFAULT_TENANT = "default"


class Priority(IntEnum):
    """The order of starting; a lower number goes first."""

    IMMEDIATE = 0
    HIGH = 1
    MEDIUM = 2
    LOW = 3


class OnUncertain(StrEnum):
    """What to do with a message whose last dot may or may not have been taken."""

    RETRY = "retry"
    HOLD = "hold"


class Tls(StrEnum):
    """How a connection to a smarthost is secured."""

    REQUIRED = "required"
    OPPORTUNISTIC = "opportunistic"
    IMPLICIT = "implicit"
    NONE = "none"


# --- accounts ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds that one step of an SMTP session may take (RFC 5321 4.5.3.2)."""

    connect: float = 30.0
    command: float = 300.0
    data: float = 120.0
    block: float = 180.0
    dot: float = 600.0


@dataclass(frozen=True, slots=True)
class RateLimits:
    """How many transactions an account may start per window; ``None`` is no limit."""

    per_minute: int | None = None
    per_hour: int | None = None
    per_day: int | None = None
    error_over: bool = False  # over the limit: error instead of defer

    @property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """(window in seconds, limit), only those that are set."""
        pairs = ((60, self.per_minute), (3600, self.per_hour), (86400, self.per_day))
        return tuple((seconds, limit) for seconds, limit in pairs if limit)


@dataclass(frozen=True, slots=True)
class Account:
    """A smarthost and the right to use it."""

    id: str
    host: str = ""
    port: int = 587
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tenant_id: str = DEFAULT_TENANT
    ttl: float = 300.0  # seconds that an idle connection is kept
    limits: RateLimits = RateLimits()
    batch_size: int | None = None  # quantum of a turn among accounts
    tls: Tls = Tls.REQUIRED
    verify: bool = True
    max_connections: int | None = None
    transport: str = "smtp"
    on_uncertain: OnUncertain | None = None
    timeouts: Mapping[str, float] = field(default_factory=dict)  # overrides, names as in Timeouts
    revision: int = 0  # raised by the store at each change; pools retire what is older


# --- messages ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox: a display name, which may be empty, and an addr-spec."""

    display: str
    spec: str

    @property
    def domain(self) -> str:
        return self.spec.rpartition("@")[2]

    @property
    def is_ascii(self) -> bool:
        """False: only a server that offers SMTPUTF8 (RFC 6531) can take it."""
        return self.spec.isascii()


@dataclass(frozen=True, slots=True)
class AttachmentReference:
    """Where the content of an attachment is to be had; ``storage_path`` may hold it inline."""

    storage_path: str
    filename: str
    fetch_mode: str | None = None
    content_md5: str | None = None
    mime_type: str | None = None
    content_id: str | None = None  # set: an inline image, referred to as cid:...


@dataclass(frozen=True, slots=True)
class Attachment:
    """The content of an attachment; the source may know a better type than the reference."""

    content: bytes = field(repr=False)
    mime_type: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """An accepted message, as its application composed it.

    ``created_ts`` and ``message_id`` are fixed at accept, so every attempt builds the same bytes.
    """

    id: str
    account_id: str
    sender: Address
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    subject: str
    text: str | None
    html: str | None
    message_id: str
    created_ts: float
    tenant_id: str = DEFAULT_TENANT
    generation: int = 1
    priority: int = Priority.MEDIUM
    reply_to: tuple[Address, ...] = ()
    return_path: str | None = None  # None: the sender; "": the null reverse-path
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[AttachmentReference, ...] = ()
    calendar: str | None = None
    raw: bytes | None = field(default=None, repr=False)
    tags: tuple[str, ...] = ()
    deferred_ts: float | None = None
    expires_ts: float | None = None
    on_uncertain: OnUncertain | None = None

    @property
    def envelope_sender(self) -> str:
        return self.sender.spec if self.return_path is None else self.return_path

    @property
    def recipients(self) -> tuple[str, ...]:
        """Every addr-spec once, in the order to, cc, bcc."""
        if len(self.to) == 1 and not (self.cc or self.bcc):
            return (self.to[0].spec,)
        return tuple(dict.fromkeys(a.spec for group in (self.to, self.cc, self.bcc) for a in group))


# --- sending -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Envelope:
    """One SMTP transaction's worth: who, to whom, and the finished bytes (CRLF lines)."""

    message_id: str  # the application's id, for logs
    sender: str  # "" is the null reverse-path
    recipients: tuple[str, ...]
    data: bytes = field(repr=False)
    priority: int = Priority.MEDIUM

    @property
    def needs_smtputf8(self) -> bool:
        return not (self.sender.isascii() and all(r.isascii() for r in self.recipients))


class Disposition(StrEnum):
    """What became of one recipient in one attempt."""

    ACCEPTED = "accepted"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    UNCERTAIN = "uncertain"
    UNTRIED = "untried"  # left for another transaction, nobody's fault


@dataclass(frozen=True, slots=True)
class RecipientOutcome:
    """One recipient's outcome and the server's last word about it."""

    recipient: str
    disposition: Disposition
    code: int | None = None
    enhanced: str | None = None  # RFC 3463, for example "5.1.1"
    text: str = ""

    def describe(self) -> str:
        words = (str(self.code) if self.code else "", self.enhanced or "", self.text)
        return " ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a transport says of one attempt: an outcome for each recipient of the envelope.

    ``account_problem``: the fault is the account's or the smarthost's (DNS, connect, TLS, login), not
    the message's; the account's breaker opens and the message waits. ``charged``: the attempt counts
    against ``max_attempts``. ``transaction_begun``: MAIL was written, so a unit of the rate limit is
    used. ``retry_after``: seconds that the server asked for.
    """

    outcomes: tuple[RecipientOutcome, ...]
    account_problem: bool = False
    charged: bool = True
    transaction_begun: bool = True
    retry_after: float | None = None

    @classmethod
    def of_all(
        cls,
        recipients: Sequence[str],
        disposition: Disposition,
        text: str = "",
        *,
        code: int | None = None,
        enhanced: str | None = None,
        account_problem: bool = False,
        charged: bool = True,
        transaction_begun: bool = True,
        retry_after: float | None = None,
    ) -> Delivery:
        """The same outcome for every recipient."""
        outcomes = tuple(
            RecipientOutcome(recipient, disposition, code, enhanced, text)
            for recipient in recipients
        )
        return cls(outcomes, account_problem, charged, transaction_begun, retry_after)


# --- reports -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Report:
    """A recorded result on its way to a sink.

    ``key`` is the store's handle for acknowledging exactly this result; it means nothing elsewhere.
    """

    key: int
    tenant_id: str
    id: str
    account_id: str
    priority: int
    sent_ts: int | None
    error_ts: int | None
    error: str | None
    deferred_ts: int | None
    generation: int = 1
    result_seq: int = 1
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RetiredMessage:
    """A message that retention is about to delete, as a retention policy sees it."""

    tenant_id: str
    id: str
    account_id: str
    sent_ts: int | None
    error_ts: int | None
    error: str | None
    reported_ts: int | None
    payload: Mapping[str, Any] = field(repr=False)


# --- events --------------------------------------------------------------------------------------


class EventKind(StrEnum):
    """What happened; an event follows the commit that made it so."""

    ACCEPTED = "accepted"
    SENT = "sent"
    DEFERRED = "deferred"
    FAILED = "failed"
    REPORTED = "reported"
    RETIRED = "retired"
    ACCOUNT_BROKEN = "account_broken"
    ACCOUNT_RECOVERED = "account_recovered"
    SUSPENDED = "suspended"
    ACTIVATED = "activated"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, for observers; without content and without secrets.

    ``id`` is the message's where it is about one, ``account_id`` the account's. ``sink`` names who
    acknowledged a reported result. ``uncertain``: the attempt ended without knowing.
    """

    kind: EventKind
    ts: float  # wall
    tenant_id: str = DEFAULT_TENANT
    id: str | None = None
    account_id: str | None = None
    priority: int | None = None
    generation: int | None = None
    error: str | None = None
    uncertain: bool = False
    sink: str | None = None
    recipients: tuple[RecipientOutcome, ...] = ()
