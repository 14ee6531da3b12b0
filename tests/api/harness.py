"""What the tests of the API share: a scheduler that sends nothing, and a client with helpers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import httpx
from fastapi import FastAPI
from fastapi.routing import APIRoute

from asyncmail.model import DEFAULT_TENANT, Disposition, RecipientOutcome
from asyncmail.prometheus import MailMetrics
from asyncmail.scheduler.accounts import AccountDirectory
from asyncmail.store.base import AttemptRecord, Claim, Lane, Pick, Result
from asyncmail.store.sqlite import SQLiteStore
from asyncmail.testing.clock import ManualClock

TOKEN = "a-token"
AT_MOST = 8  # connections
CANARY = "canary-3f9c-password"


@dataclass
class State:
    state: str = "ok"
    last_error: str | None = None


class StillScheduler:
    """Remembers what it is told; nothing leaves, so that messages stay where a test put them."""

    def __init__(self, directory: AccountDirectory) -> None:
        self._directory = directory
        self.draining = False
        self.active = True
        self.runs = 0
        self.woken: set[Lane] = set()
        self.reports_due = 0
        self.states: dict[Lane, State] = {}
        self.cleanups: list[float | None] = []

    def run_now(self) -> None:
        self.runs += 1

    def wake(self, lanes: Iterable[Lane] = (), priorities: Collection[int] = ()) -> None:
        self.woken.update(lanes)

    def results_committed(self) -> None:
        self.reports_due += 1

    async def suspend(self) -> None:
        self.active = False

    async def activate(self) -> None:
        self.active = True

    def account_state(self, lane: Lane) -> State:
        return self.states.get(lane, State())

    async def account_changed(self, lane: Lane) -> None:
        await self._directory.refresh(lane)

    async def cleanup(self, older_than: float | None = None) -> int:
        self.cleanups.append(older_than)
        return 0


@dataclass
class Server:
    tokens: tuple[str, ...] = (TOKEN,)
    docs: Literal["on", "token", "off"] = "on"
    max_body_bytes: int = 1_000_000


@dataclass
class Harness:
    """The application, its parts, and a client that has the token."""

    app: FastAPI
    client: httpx.AsyncClient
    store: SQLiteStore
    scheduler: StillScheduler
    clock: ManualClock
    metrics: MailMetrics

    async def add(self, *messages: Any, **extra: Any) -> dict[str, Any]:
        """Post a batch; the answer of a 200."""
        reply = await self.client.post(
            "/commands/add-messages", json={"messages": list(messages), **extra}
        )
        assert reply.status_code == 200, reply.text
        answer: dict[str, Any] = reply.json()
        assert answer["ok"] is True
        assert answer["queued"] + len(answer["rejected"]) == len(messages)
        return answer

    async def reason(self, message: Any) -> str:
        """Why this message alone is rejected."""
        answer = await self.add(message)
        assert answer["queued"] == 0, answer
        return str(answer["rejected"][0]["reason"])

    async def claim(self) -> Claim:
        """Take the next message of the account, as a dispatcher does."""
        pick = Pick(Lane(DEFAULT_TENANT, "shop"), (0, 1, 2, 3), 1)
        (claim,) = (await self.store.claim([pick], max_bytes=10**9)).claims
        return claim

    async def finish(self, *, sent: bool, text: str = "") -> None:
        """Take the next message and record its end: sent, or refused with ``550 5.1.1``."""
        claim = await self.claim()
        now = self.clock.wall()
        kind, code = (Disposition.ACCEPTED, 250) if sent else (Disposition.PERMANENT, 550)
        enhanced = None if sent else "5.1.1"
        outcome = RecipientOutcome("ann@example.org", kind, code, enhanced, text)
        error = None if sent else outcome.describe()
        word = "sent" if sent else "error"
        result = Result(
            claim.key,
            claim.token,
            claim.lane,
            sent_ts=int(now) if sent else None,
            error_ts=None if sent else int(now),
            error=error,
            settled={outcome.recipient: outcome},
            attempt=AttemptRecord(now, now + 1.5, word, False, error, [outcome]),
        )
        assert await self.store.record([result]) == [True]

    async def record(self, message_id: str) -> dict[str, Any]:
        reply = await self.client.get(f"/messages/{message_id}")
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found


def api_routes(harness: Harness) -> list[APIRoute]:
    """Every route, those of included routers too."""

    def walk(found: Iterable[Any]) -> Iterator[APIRoute]:
        for route in found:
            if isinstance(route, APIRoute):
                yield route
            else:
                yield from walk(getattr(route, "original_router", route).routes)

    return list(walk(harness.app.routes))


def routes(harness: Harness) -> list[tuple[str, str]]:
    """(method, path) of every route."""
    return [(m, r.path) for r in api_routes(harness) for m in sorted(r.methods or ())]


def message(id: str = "m1", **fields: Any) -> dict[str, Any]:
    """A message that is good but for what a test says."""
    whole = {
        "id": id,
        "account_id": "shop",
        "from": "shop@example.com",
        "to": ["ann@example.org"],
        "subject": "Order",
        "body": "Thank you.",
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not ABSENT}


ABSENT: Any = object()
