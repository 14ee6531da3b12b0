"""Kills a service again and again while mail goes through it, and judges it by everybody's ledgers.

Four books are kept apart: what the client was told, what the mail server took, what the receiver of
reports was sent, and when the kills were. The service's own history is asked for one thing only: to
explain copies.
"""

from __future__ import annotations

import asyncio
import json
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx

from asyncmail.testing import read_ledger, read_unanswered
from asyncmail.testing.real_service import ASYNCMAIL, RealService, helper, id_of, mail, until

DOT_DELAY = 0.05  # seconds between taking a message and saying so
FAILING_REPORTS = 10  # percent of the posts that get 503
BATCHES = (1, 5, 20)
WAITING_MIN, WAITING_MAX = 20, 80  # the backlog that the client aims at: always a dot on its way
LIFE = (0.02, 0.5)  # seconds that a service lives, once it listens or mail flows
MAIL_FLOWS = 0.75  # so many lives are counted from the first message that arrives
DRAIN_SECONDS = 30.0


@dataclass
class Client:
    """What the client attempted, and what it was told."""

    attempted: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)  # no answer came: to be sent again

    def batch(self, size: int) -> list[str]:
        """Unknown ids first, under the same names; then new ones."""
        ids, self.unknown = self.unknown[:size], self.unknown[size:]
        ids += [f"m{len(self.attempted) + number}" for number in range(size - len(ids))]
        self.attempted.update(ids)
        return ids

    def told(self, ids: Sequence[str], answer: Any) -> None:
        """A duplicate is one that was accepted in a request whose answer was lost."""
        for rejected in answer["rejected"]:
            assert rejected["reason"].startswith("duplicate id: already"), rejected
        assert answer["queued"] + len(answer["rejected"]) == len(ids)
        self.accepted.update(ids)


@dataclass(frozen=True)
class Verdict:
    """The sums of a run; all but ``accepted``, ``copies``, ``explained`` and ``pending_kills`` should
    be empty."""

    accepted: int
    copies: int
    pending_kills: int  # kills with a message taken whose dot was not answered yet
    explained: int  # copies beyond the first
    unexplained: dict[str, int]
    lost: set[str]
    unreported: set[str]
    untrue: set[str]  # reported as sent, and no copy arrived
    strangers: set[str]


class CrashRun:
    """One run on one folder. ``program``: what runs ``serve``."""

    def __init__(self, folder: Path, seed: int, *, program: Sequence[str] = ASYNCMAIL) -> None:
        self._random = Random(seed)
        self._smtp_ledger = folder / "smtp.jsonl"
        self._report_ledger = folder / "reports.jsonl"
        self._service = RealService(folder / "service", program=program)
        self._seed = seed
        self._client = Client()
        self._kills: list[float] = []

    async def run(self, kills: int) -> Verdict:
        """Kill so many services, let the last one finish, and count."""
        async with self._neighbours() as smtp_port, self._service as service:
            for number in range(kills):
                await service.start()
                if not number:
                    await service.account(smtp_port)
                await self._feed_and_kill()
            await service.start()
            await self._finish()
            return await self._verdict()

    @asynccontextmanager
    async def _neighbours(self) -> AsyncIterator[int]:
        smtp = ("--ledger", str(self._smtp_ledger), "--dot-delay", str(DOT_DELAY))
        reports = ("--ledger", str(self._report_ledger), "--fail", str(FAILING_REPORTS))
        async with (
            helper("asyncmail.testing.faultsmtp", *smtp) as smtp_port,
            helper("asyncmail.testing.receiver", *reports, "--seed", str(self._seed)) as port,
        ):
            url = f"http://127.0.0.1:{port}/"
            self._service.config["client"] = {"proxy_sync_url": url}
            yield smtp_port

    async def _feed_and_kill(self) -> None:
        over = asyncio.Event()
        feeding = asyncio.create_task(self._feed(over))
        if self._random.random() < MAIL_FLOWS:
            await self._a_copy_arrives()
        await asyncio.sleep(self._random.uniform(*LIFE))
        self._kills.append(time.time())
        over.set()
        await self._service.kill()
        await feeding

    async def _a_copy_arrives(self) -> None:
        before = self._smtp_ledger.stat().st_size

        async def arrived() -> bool:
            return self._smtp_ledger.stat().st_size > before

        await until(arrived)

    async def _feed(self, over: asyncio.Event) -> None:
        """Hand in batches until the service is gone."""
        while not over.is_set():
            backlog = self._backlog()
            if backlog >= WAITING_MAX:
                await asyncio.sleep(0.01)
                continue
            size = self._random.choice(BATCHES) if backlog >= WAITING_MIN else max(BATCHES)
            if not await self._hand_in(size):
                return

    def _backlog(self) -> int:
        """How much is waiting, more or less: copies are counted, without reading what they are."""
        copies = self._smtp_ledger.read_bytes().count(b'"event": "copy"')
        return len(self._client.accepted) - copies

    async def _hand_in(self, size: int) -> bool:
        ids = self._client.batch(size)
        try:
            answer = await self._service.hand_in(mail(id) for id in ids)
        except httpx.TransportError:
            self._client.unknown += ids
            return False
        self._client.told(ids, answer)
        return True

    async def _finish(self) -> None:
        """Hand in what nobody answered for, and wait until every accepted id has been reported."""
        while self._client.unknown:
            assert await self._hand_in(min(len(self._client.unknown), max(BATCHES)))
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._client.accepted - self._acknowledged().keys():
            if time.monotonic() > deadline:
                return  # the verdict says what is missing
            await asyncio.sleep(0.1)

    # --- the verdict ---

    def _acknowledged(self) -> dict[str, dict[str, Any]]:
        posts = [json.loads(line) for line in self._report_ledger.read_text().splitlines()]
        return {
            entry["id"]: entry
            for post in posts
            if post["acknowledges"]
            for entry in post["reports"]
        }

    async def _verdict(self) -> Verdict:
        copies = Counter(id_of(copy.message_id) for copy in read_ledger(self._smtp_ledger))
        reports = self._acknowledged()
        explained, unexplained = 0, {}
        for id, count in copies.items():
            if count > 1:
                covered = min(count - 1, await self._uncertain_attempts(id))
                explained += covered
                if covered < count - 1:
                    unexplained[id] = count - 1 - covered
        failed = {id for id, entry in reports.items() if entry["error_ts"]}
        sent = {id for id, entry in reports.items() if entry["sent_ts"]}
        return Verdict(
            accepted=len(self._client.accepted),
            copies=copies.total(),
            pending_kills=self._pending_kills(),
            explained=explained,
            unexplained=unexplained,
            lost=self._client.accepted - copies.keys() - failed,
            unreported=self._client.accepted - reports.keys(),
            untrue=sent - copies.keys(),
            strangers=(copies.keys() | reports.keys()) - self._client.attempted,
        )

    async def _uncertain_attempts(self, id: str) -> int:
        response = await self._service.api.get(f"/messages/{id}")
        if response.status_code != 200:
            return 0
        return sum(attempt["uncertain"] for attempt in response.json()["attempts"])

    def _pending_kills(self) -> int:
        """A connection that ended before the reply to its dot ended by the next kill."""
        unanswered = {
            bisect_left(self._kills, copy.time) for copy in read_unanswered(self._smtp_ledger)
        }
        return len(unanswered & set(range(len(self._kills))))
