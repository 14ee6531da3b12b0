"""Accepting mail: every message of a batch is judged alone, and what is good is stored in one commit.

The shape of a message is checked before (the REST API does it); here everything else is: its id, its
account, its addresses, its size, and what the configured validators say.
"""

from __future__ import annotations

import asyncio
import logging
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random, SystemRandom
from typing import Any, Final, Protocol

from pydantic_core import to_json

from asyncmail.clock import Clock
from asyncmail.errors import Rejected, StoreUnavailable
from asyncmail.failpoints import failpoint
from asyncmail.model import Account, Message, OnUncertain, Priority
from asyncmail.outcome import clean
from asyncmail.payload import fill_in, message_from_payload
from asyncmail.plugins.guard import (
    VALIDATOR_DEADLINE,
    ExtensionFailed,
    ExtensionQuarantined,
    ExtensionTimeout,
    Guard,
    GuardedTask,
)
from asyncmail.plugins.interfaces import Validator
from asyncmail.plugins.kinds import Loaded
from asyncmail.scheduler.events import EventStream
from asyncmail.store.base import Addition, Lane, NewMessage, Store

log: Final = logging.getLogger("asyncmail.intake")

DEFAULT_ACCOUNT = "default"  # of messages that name none
MAX_ID = 255
MAX_WARNINGS = 10  # of one validator about one message
VALIDATOR_BUDGET = 5.0  # seconds of one request
BREATH = 100  # messages after which other tasks get their turn

CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of a batch: its payload, or the reason why it has none."""

    id: str | None
    payload: dict[str, Any] | None = field(default=None, repr=False)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A message that was not taken; ``id`` is ``None`` where it had none that can be named."""

    id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that was taken, and what its sender should know about it."""

    id: str
    warning: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a batch: ``queued + len(rejected)`` is its length. In the batch's order."""

    queued: int
    rejected: Sequence[Rejection]
    warnings: Sequence[Notice]


class Accounts(Protocol):
    """The accounts as they are now, at hand without waiting."""

    def get(self, lane: Lane) -> Account | None: ...


class Wakeable(Protocol):
    """What intake tells the scheduler, and asks of it."""

    draining: bool

    def wake(self, lanes: Iterable[Lane] = (), priorities: Collection[int] = ...) -> None: ...

    def results_committed(self) -> None: ...


@dataclass(slots=True)
class _Candidate:
    message: Message
    account: Account
    new: NewMessage


@dataclass(slots=True)
class _Opinion:
    """What the validators said of one message."""

    reason: str | None = None
    warnings: Sequence[str] = ()


class Intake:
    """Takes batches of messages. ``replace``: an id that still waits gets the new content."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        scheduler: Wakeable,
        guard: Guard,
        clock: Clock,
        events: EventStream,
        *,
        validators: Sequence[Loaded[Validator]] = (),
        default_priority: int = Priority.MEDIUM,
        max_message_bytes: int = 26_214_400,
        max_queued: int = 5_000_000,
        replace: bool = False,
        random: Random | None = None,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._scheduler = scheduler
        self._guard = guard
        self._clock = clock
        self._events = events
        self._validators = tuple(validators)
        self._default_priority = default_priority
        self._max_message_bytes = max_message_bytes
        self._max_queued = max_queued
        self._replace = replace
        # It makes ids unique, not secret, and the system's own is slow.
        self._random = random or Random(SystemRandom().getrandbits(128))  # noqa: S311

    async def accept(
        self, tenant_id: str, entries: Sequence[Entry], *, default_priority: int | None = None
    ) -> Accepted:
        """Judge and store a batch; returns after the commit.

        Raises ``StoreUnavailable`` if nothing can be taken now; then nothing of the batch was kept.
        """
        self._check_open(len(entries))
        priority = self._default_priority if default_priority is None else default_priority
        reasons: dict[int, str] = {}
        candidates: dict[int, _Candidate] = {}
        seen: set[str] = set()
        now = round(self._clock.wall(), 5)  # as exact as it comes back from the store
        for index, entry in enumerate(entries):
            if index % BREATH == BREATH - 1:
                await asyncio.sleep(0)
            try:
                candidates[index] = self._candidate(tenant_id, entry, seen, priority, now)
            except Rejected as error:
                reasons[index] = error.reason
        warnings = await self._validate(candidates, reasons)
        queued = await self._store_all(candidates, reasons)
        return Accepted(
            queued,
            [Rejection(_shown(entries[i].id), reasons[i]) for i in sorted(reasons)],
            [
                Notice(candidates[index].message.id, warning)
                for index, texts in warnings.items()
                if index not in reasons
                for warning in texts
            ],
        )

    def _check_open(self, count: int) -> None:
        """Refuse early, before any work (G5)."""
        if self._scheduler.draining:
            raise StoreUnavailable("the service is stopping")
        health = self._store.health()
        if not health.ok:
            raise StoreUnavailable(f"the store takes nothing now: {health.reason}")
        if self._store.pending() + count > self._max_queued:
            raise StoreUnavailable("the queue is full", retry_after=30)

    # --- one message ---

    def _candidate(
        self, tenant_id: str, entry: Entry, seen: set[str], default_priority: int, now: float
    ) -> _Candidate:
        """A message as it would be stored; raises ``Rejected``."""
        payload = entry.payload
        if payload is None:
            raise Rejected(entry.reason)
        message_id = _checked_id(entry.id, seen)
        account = self._account(tenant_id, payload)
        priority = payload.get("priority")
        if priority is None:
            priority = default_priority
        message, text = self._understood(payload, tenant_id, account.id, priority, now)
        deferred_ts = message.deferred_ts
        new = NewMessage(
            tenant_id,
            message_id,
            account.id,
            priority,
            now,
            text,
            deferred_ts if deferred_ts is not None and deferred_ts > now else None,
            message.expires_ts,
            None if message.on_uncertain is None else message.on_uncertain is OnUncertain.HOLD,
            message.tags,
            message,
        )
        return _Candidate(message, account, new)

    def _account(self, tenant_id: str, payload: Mapping[str, Any]) -> Account:
        account_id = payload.get("account_id")
        account = self._accounts.get(Lane(tenant_id, account_id or DEFAULT_ACCOUNT))
        if account is None:
            raise Rejected("account not found" if account_id else "missing account configuration")
        return account

    def _understood(
        self, payload: dict[str, Any], tenant_id: str, account_id: str, priority: int, now: float
    ) -> tuple[Message, str]:
        """The message, and its payload as the JSON text that is stored."""
        try:
            stored = fill_in(payload, created_ts=now, random=self._random)
            message = message_from_payload(
                stored,
                tenant_id=tenant_id,
                account_id=account_id,
                priority=priority,
                created_ts=now,
            )
            text = to_json(stored)
        except Rejected:
            raise
        except Exception:
            log.exception("a message could not be understood")
            raise Rejected("invalid payload: it cannot be understood") from None
        size = _least_size(stored, len(text), self._max_message_bytes)
        if size > self._max_message_bytes:
            raise Rejected(
                f"too large: at least {size} bytes, at most {self._max_message_bytes} are taken"
            )
        return message, text.decode()

    # --- validators ---

    async def _validate(
        self, candidates: dict[int, _Candidate], reasons: dict[int, str]
    ) -> Mapping[int, Sequence[str]]:
        """Ask the validators; what they reject leaves ``candidates``. Returns warnings by index."""
        if not candidates or not self._validators:
            return {}
        guarded = self._guard.start(partial(self._opinions, dict(candidates)))
        try:
            opinions = await guarded.result()
        except ExtensionTimeout as error:
            raise StoreUnavailable(str(error)) from error
        except ExtensionQuarantined as error:
            raise StoreUnavailable(str(error), retry_after=error.retry_after) from error
        for index, opinion in opinions.items():
            if opinion.reason is not None:
                reasons[index] = opinion.reason
                del candidates[index]
        return {index: opinion.warnings for index, opinion in opinions.items()}

    async def _opinions(
        self, candidates: Mapping[int, _Candidate], guarded: GuardedTask[dict[int, _Opinion]]
    ) -> dict[int, _Opinion]:
        """All validators about all messages, in one guarded task."""
        end = self._clock.steady() + VALIDATOR_BUDGET
        opinions: dict[int, _Opinion] = {}
        for count, (index, candidate) in enumerate(candidates.items(), 1):
            if count % BREATH == 0:
                await asyncio.sleep(0)
            opinion = await self._opinion(candidate, guarded, end)
            if opinion is not None:
                opinions[index] = opinion
        return opinions

    async def _opinion(
        self, candidate: _Candidate, guarded: GuardedTask[Any], end: float
    ) -> _Opinion | None:
        warnings: list[str] = []
        for loaded in self._validators:
            left = end - self._clock.steady()
            if left <= 0:
                raise StoreUnavailable(
                    f"the validators took more than {VALIDATOR_BUDGET:g} s",
                    hint="send fewer messages",
                )
            make = partial(loaded.extension.validate, candidate.message, candidate.account)
            deadline = min(VALIDATOR_DEADLINE, left)
            try:
                warnings += await guarded.call(loaded, make, deadline=deadline, expect=_warnings)
            except Rejected as error:
                return _Opinion(clean(error.reason))
            except ExtensionFailed:
                return _Opinion(f"validator {loaded.name} failed")
        return _Opinion(warnings=warnings) if warnings else None

    # --- commit ---

    async def _store_all(
        self, candidates: Mapping[int, _Candidate], reasons: dict[int, str]
    ) -> int:
        """Store what is left; what turns out to be a duplicate gets its reason. How many are queued."""
        if not candidates:
            return 0
        failpoint("accept.before_tx")
        additions = await self._store.add(
            [candidate.new for candidate in candidates.values()], replace=self._replace
        )
        failpoint("accept.committed")
        lanes: set[Lane] = set()
        taken: list[NewMessage] = []
        for (index, candidate), addition in zip(candidates.items(), additions, strict=True):
            if addition in (Addition.STORED, Addition.REPLACED):
                taken.append(candidate.new)
                lanes.add(Lane(candidate.new.tenant_id, candidate.new.account_id))
            else:
                reasons[index] = f"duplicate id: already {addition.value}"
        if lanes:
            self._events.accepted(taken)
            self._scheduler.wake(lanes, {new.priority for new in taken})
        if Addition.SENT in additions:
            self._scheduler.results_committed()  # it is reported once more
        return len(taken)


def _checked_id(id: str | None, seen: set[str]) -> str:
    """A usable id that this batch did not have yet; raises ``Rejected``.

    Of two equal ids the second is refused, whatever becomes of the first: an id must not be answered
    both as rejected and as queued.
    """
    if id is None or not id.strip():
        raise Rejected("missing id")
    if _shown(id) is None:
        raise Rejected(
            f"invalid payload: id must be 1 to {MAX_ID} characters, none of them control"
        )
    key = id if id.isascii() else unicodedata.normalize("NFC", id)
    if key in seen:
        raise Rejected("duplicate id: already in this request")
    seen.add(key)
    return id


def _shown(id: str | None) -> str | None:
    """The id if it may be repeated to its sender."""
    usable = id is not None and 0 < len(id) <= MAX_ID and not CONTROL_CHARACTERS.search(id)
    return id if usable else None


def _least_size(payload: Mapping[str, Any], text_length: int, limit: int) -> int:
    """Bytes that the built message has at the least; exact enough to refuse what can never pass.

    Building decides exactly: how much an encoding adds is known only then.
    """
    if (
        text_length * 1.04 < limit
    ):  # inline content grows by its line ends; nothing else counts here
        return text_length
    texts = [payload.get(name) or "" for name in ("body", "text", "html", "calendar")]
    size = sum(len(text.encode()) for text in texts)
    size += len(payload.get("raw") or "") * 3 // 4
    for attachment in payload.get("attachments") or ():
        path = attachment["storage_path"]
        if path.startswith("base64:") or attachment.get("fetch_mode") == "base64":
            size += len(path) * 78 // 76
    return size


def _warnings(answer: Any) -> list[str]:
    """What a validator may return: nothing, or warnings; anything else is a failure of it."""
    if answer is None:
        return []
    if isinstance(answer, (str, bytes)):
        raise TypeError("warnings must be a list of texts, not one text")
    texts = list(answer)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("warnings must be texts")
    return [clean(text) for text in texts[:MAX_WARNINGS]]
