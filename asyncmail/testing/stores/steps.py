"""Short words for what the promises of a store do over and over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from asyncmail.clock import Clock
from asyncmail.model import Account, Disposition, RateLimits, RecipientOutcome, Report
from asyncmail.store.base import (
    Addition,
    AttemptRecord,
    Claim,
    Filter,
    Lane,
    MessageRecord,
    NewMessage,
    Pick,
    Result,
    Store,
)

PRIORITIES = (0, 1, 2, 3)
PLENTY = 1 << 30  # bytes
SHOP = Lane("default", "shop")


def payload(**fields: Any) -> str:
    """The JSON text of a message."""
    content = {"from": "a@example.org", "to": ["b@example.org"], "subject": "s", "body": "text"}
    return json.dumps(content | fields)


def outcome(recipient: str, disposition: Disposition = Disposition.ACCEPTED) -> RecipientOutcome:
    code = {Disposition.ACCEPTED: 250, Disposition.PERMANENT: 550}.get(disposition, 451)
    return RecipientOutcome(recipient, disposition, code, f"{code // 100}.0.0", "as told")


class Steps:
    """A store with its clock, and the steps of a service that works with it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock

    def new(self, id: str, **fields: Any) -> NewMessage:
        """A message of the account ``shop``, created now."""
        defaults: dict[str, Any] = {
            "tenant_id": "default",
            "account_id": "shop",
            "priority": 2,
            "created_ts": self.clock.wall(),
            "payload": payload(),
        }
        return NewMessage(id=id, **(defaults | fields))

    async def add(self, *ids: str, replace: bool = False, **fields: Any) -> list[Addition]:
        return await self.store.add([self.new(name, **fields) for name in ids], replace=replace)

    async def account(self, id: str = "shop", **limits: Any) -> None:
        account = Account(id, "smtp.example.org", limits=RateLimits(**limits))
        await self.store.put_account(account, keep_password=False)

    async def claim(
        self,
        count: int = 10,
        *,
        lane: Lane = SHOP,
        priorities: Sequence[int] = PRIORITIES,
        max_bytes: int = PLENTY,
    ) -> list[Claim]:
        pick = Pick(lane, tuple(priorities), count)
        return list((await self.store.claim([pick], max_bytes=max_bytes)).claims)

    def sent(self, claim: Claim, **fields: Any) -> Result:
        """The result of a claim whose message was taken."""
        now = self.clock.wall()
        attempt = AttemptRecord(now, now, "sent", False, None, (outcome("b@example.org"),))
        defaults: dict[str, Any] = {"sent_ts": int(now), "unit_used": True, "attempt": attempt}
        return Result(claim.key, claim.token, claim.lane, **(defaults | fields))

    def failed(self, claim: Claim, error: str = "550 no", **fields: Any) -> Result:
        now = int(self.clock.wall())
        return Result(
            claim.key, claim.token, claim.lane, error_ts=now, error=error, unit_used=True, **fields
        )

    def later(self, claim: Claim, seconds: float, **fields: Any) -> Result:
        """The result of a claim that is tried again."""
        return Result(
            claim.key,
            claim.token,
            claim.lane,
            due=self.clock.steady() + seconds,
            deferred_ts=int(self.clock.wall() + seconds),
            **fields,
        )

    async def send(self, *ids: str, **fields: Any) -> None:
        """Accept these and record that they were sent."""
        await self.add(*ids, **fields)
        claims = await self.claim(len(ids))
        assert await self.store.record([self.sent(c) for c in claims]) == [True] * len(ids)

    async def fail(self, *ids: str, **fields: Any) -> None:
        """Accept these and record that they failed."""
        await self.add(*ids)
        claims = await self.claim(len(ids))
        results = [self.failed(c, **fields) for c in claims]
        assert await self.store.record(results) == [True] * len(ids)

    async def report(self, sink: str = "app") -> list[Report]:
        """Have the sink take all that is offered; what that was."""
        reports = await self.store.unreported(sink, 1000)
        await self.store.acknowledge(sink, reports)
        return reports

    async def listed(self, **which: Any) -> list[MessageRecord]:
        which = {"tenant_id": "default"} | which
        return await self.store.messages(Filter(**which), limit=1000, max_bytes=PLENTY)

    async def one(self, id: str) -> MessageRecord:
        history = await self.store.history("default", id)
        assert history is not None
        return history.record


def ids(items: Sequence[Any]) -> list[str]:
    return [item.id for item in items]
