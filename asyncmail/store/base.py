"""The store's contract: every question and every change that the service asks of a database.

One engine is one subclass. Each writing method is one durable unit: it returns after the commit, and a
cancelled caller never cuts it short. Engines group units that arrive together into one commit.

States of a message: *ready* to be claimed; *waiting* for a time; *claimed*; *final* (sent or error).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence

from asyncmail.model import Account, Report, RetiredMessage
from asyncmail.store.shapes import (
    Addition,
    AttemptRecord,
    Claim,
    Claims,
    DueTimes,
    Filter,
    Health,
    Lane,
    MessageHistory,
    MessageRecord,
    NewMessage,
    Pick,
    Removal,
    ReportRecord,
    Result,
    Status,
)

__all__ = [
    "Addition",
    "AttemptRecord",
    "Claim",
    "Claims",
    "DueTimes",
    "Filter",
    "Health",
    "Lane",
    "MessageHistory",
    "MessageRecord",
    "NewMessage",
    "Pick",
    "Removal",
    "ReportRecord",
    "Result",
    "Status",
    "Store",
]


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
    async def claim(self, picks: Iterable[Pick], *, max_bytes: int) -> Claims:
        """Claim what the picks wish for, in their order, and reserve a unit of the rate limits each.

        ``picks`` is gone through once, in the event loop, when the store has come to this claim.

        Stops when the payloads claimed exceed ``max_bytes``, but gives at least one message.
        Nothing while suspended. Results that were handed in before are recorded before, or the claim
        fails: so whoever has them in flight no longer needs to count them.
        """

    @abstractmethod
    async def claim_aged(self, ready_before: float, limit: int) -> list[Claim]:
        """Claim ready messages that could have been started before that time (steady)."""

    @abstractmethod
    async def claim_orphans(self, limit: int) -> list[Claim]:
        """Claim the ready and waiting messages that ``delete_account`` left, and those whose account
        does not exist."""

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
    async def record(self, results: Iterable[Result]) -> list[bool]:
        """Record a group; False where the claim was lost and nothing was recorded.

        ``results`` is gone through once, in the event loop, when the store has come to it.

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
    async def retire(self, keys: Sequence[int], before: float) -> list[int]:
        """Delete those of these messages that ``retirable`` would still give; which ones went."""

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
        """Forget an account. Its ready and waiting messages are from then on for ``claim_orphans``
        alone, even if an account of that id is made again; claimed ones stay with their owner."""

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
        """``ready_ts`` (steady) of the ready message that has waited longest."""

    @abstractmethod
    async def is_active(self) -> bool:
        """Whether sending is on."""

    @abstractmethod
    async def set_active(self, active: bool) -> None:
        """Suspend or activate, durably."""
