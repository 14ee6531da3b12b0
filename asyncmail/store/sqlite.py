"""The store on SQLite: one file, one writing connection that groups commits, two that read."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

from asyncmail.clock import Clock
from asyncmail.errors import DatabaseUnusable, StoreUnavailable
from asyncmail.model import Account, Report, RetiredMessage
from asyncmail.store import (
    accept,
    accounts,
    claims,
    listing,
    migrations,
    opening,
    queue,
    reports,
    results,
    retention,
)
from asyncmail.store.ballast import Ballast
from asyncmail.store.base import (
    Addition,
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
    Result,
    Store,
)
from asyncmail.store.connection import Connection, Engine, lasting_harm
from asyncmail.store.health import StorageHealth
from asyncmail.store.keys import KeyRing
from asyncmail.store.lockfile import LockFile
from asyncmail.store.writer import Writer

ANSWER = TypeVar("ANSWER")


class SQLiteStore(Store):
    """See ``Store``.

    ``min_free_bytes``: below that much free disk nothing is accepted. ``ballast_bytes``: set aside to
    record results with when it is full. ``init``: start a new queue where the database is unusable or
    gone. ``active``: whether a new one starts out sending.
    ``lock_seconds``: how long a call waits while another process has the database locked. ``token``:
    makes random claim tokens.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        keys: KeyRing,
        min_free_bytes: int = 0,
        ballast_bytes: int = 0,
        init: bool = False,
        active: bool = True,
        lock_seconds: float = 5.0,
        token: Callable[[], str] = secrets.token_hex,
    ) -> None:
        self._path = path
        self._clock = clock
        self._keys = keys
        self._init = init
        self._active = active
        self._lock_seconds = lock_seconds
        self._token = token
        self._ballast = Ballast(path, ballast_bytes)
        self._health = StorageHealth(path, clock, min_free_bytes, self._ballast)
        self._closing: AsyncExitStack | None = None
        self._writer: Writer
        self._service: Connection  # what sending and reporting read
        self._looking: Connection  # what people and retention read, which may take long

    # --- life ---

    async def open(self) -> None:
        lock = LockFile(self._path)
        async with AsyncExitStack() as stack:
            lock.acquire()
            stack.callback(lock.release)
            await asyncio.to_thread(self._ballast.prepare)
            await asyncio.to_thread(
                opening.prepare,
                self._path,
                lock,
                migrations.known(),
                init=self._init,
                active=self._active,
            )
            try:
                await self._connect(stack)
            except sqlite3.Error as error:
                raise DatabaseUnusable(f"database {self._path}: {error}") from error
            self._health.opened()
            await self._writer.submit(queue.restart, None)
            self._closing = stack.pop_all()

    async def _connect(self, stack: AsyncExitStack) -> None:
        """What is pushed last is closed first: the writer's task, the readers, the writer's file."""
        engine = await Engine.open(self._path, self._clock)
        stack.push_async_callback(engine.close)
        stack.push_async_callback(engine.checkpoint)
        self._service = await Connection.open(self._path)
        stack.push_async_callback(self._service.close)
        self._looking = await Connection.open(self._path)
        stack.push_async_callback(self._looking.close)
        self._writer = Writer(
            engine,
            self._health,
            self._ballast,
            probe=queue.probe,
            pending=await queue.pending(self._service),
            lock_seconds=self._lock_seconds,
        )
        stack.push_async_callback(self._writer.close)

    async def close(self) -> None:
        stack, self._closing = self._closing, None
        if stack is not None:
            await stack.aclose()

    def health(self) -> Health:
        return self._health.look()

    async def _read(self, question: Awaitable[ANSWER]) -> ANSWER:
        try:
            return await question
        except (sqlite3.Error, ValueError) as error:  # ValueError: the connection is closed
            if harm := lasting_harm(error):
                self._health.broke(f"{error}: {harm}")
            raise StoreUnavailable(f"the store cannot be read: {error}") from error

    # --- accept ---

    async def add(self, messages: Sequence[NewMessage], *, replace: bool = False) -> list[Addition]:
        health = self.health()
        if not health.ok:
            raise StoreUnavailable(health.reason, hint="nothing was kept, try again")
        if not messages:
            return []
        batch = accept.Batch(messages, replace)
        return await self._writer.submit(accept.add, batch, rows=len(messages))

    # --- claim ---

    async def promote(self) -> frozenset[Lane]:
        lanes: frozenset[Lane] = frozenset()
        due = await self.due_times()
        more = (due.wall is not None and due.wall <= self._clock.wall()) or (
            due.steady is not None and due.steady <= self._clock.steady()
        )
        while more:
            some, more = await self._writer.submit(queue.promote, None)
            lanes |= some
        return lanes

    async def ready_lanes(self) -> frozenset[Lane]:
        return await self._read(queue.ready_lanes(self._service))

    async def due_times(self) -> DueTimes:
        return await self._read(queue.due_times(self._service))

    async def claim(self, picks: Iterable[Pick], *, max_bytes: int) -> Claims:
        wish = claims.Wish(picks, max_bytes, self._token())
        return await self._writer.submit(claims.claim, wish)

    async def claim_aged(self, ready_before: float, limit: int) -> list[Claim]:
        keys = await self._read(queue.aged(self._looking, ready_before, limit))
        return await self._claim_keys(keys, orphans=False)

    async def claim_orphans(self, limit: int) -> list[Claim]:
        keys = await self._read(queue.orphans(self._looking, limit))
        return await self._claim_keys(keys, orphans=True)

    async def _claim_keys(self, keys: Sequence[int], *, orphans: bool) -> list[Claim]:
        if not keys:
            return []
        chosen = claims.Chosen(keys, self._token(), orphans)
        return await self._writer.submit(claims.claim_keys, chosen)

    async def rescue(self) -> list[Claim]:
        return await self._writer.submit(claims.rescue, self._token())

    async def release(self, claims_: Sequence[Claim]) -> None:
        await self._writer.submit(claims.release, claims_)

    async def mark_intent(self, claim: Claim) -> bool:
        return await self._writer.submit(claims.mark_intent, claim)

    async def keep_digests(self, claim: Claim, digests: Mapping[str, str]) -> bool:
        return await self._writer.submit(claims.keep_digests, (claim, digests))

    # --- record ---

    async def record(self, results_: Iterable[Result]) -> list[bool]:
        return await self._writer.submit(results.record, results_)

    # --- report ---

    async def activate_sinks(self, names: Collection[str]) -> dict[str, int]:
        left_behind = await self._read(reports.left_behind(self._looking, names))
        await self._writer.submit(reports.set_sinks, names)
        while await self._writer.submit(reports.drop, reports.DROP_BATCH) == reports.DROP_BATCH:
            pass
        return left_behind

    async def unreported(self, sink: str, limit: int) -> list[Report]:
        now = self._clock.steady()
        return await self._read(reports.pending(self._service, sink, now, limit))

    async def acknowledge(self, sink: str, reports_: Sequence[Report]) -> None:
        taken = reports.Taken(sink, reports_)
        await self._writer.submit(reports.acknowledge, taken, rows=len(reports_))

    async def postpone(self, sink: str, reports_: Sequence[Report], until: float) -> None:
        await self._writer.submit(reports.postpone, reports.Postponed(sink, reports_, until))

    async def oldest_unreported(self, sink: str) -> float | None:
        return await self._read(reports.oldest(self._service, sink))

    # --- retain ---

    async def retirable(
        self, lane: Lane, before: float, *, limit: int, after_key: int = 0
    ) -> list[tuple[int, RetiredMessage]]:
        return await self._read(retention.retirable(self._looking, lane, before, limit, after_key))

    async def retire(self, keys: Sequence[int], before: float) -> list[int]:
        gone: list[int] = []
        for start in range(0, len(keys), retention.BATCH):
            batch = retention.Retirement(keys[start : start + retention.BATCH], before)
            went = await self._writer.submit(retention.retire, batch, rows=len(batch.keys))
            gone.extend(went)
        return gone

    async def lanes(self) -> frozenset[Lane]:
        return await self._read(queue.all_lanes(self._looking))

    # --- accounts ---

    async def put_account(self, account: Account, *, keep_password: bool) -> None:
        put = accounts.sealed(account, self._keys, keep_password=keep_password)
        await self._writer.submit(accounts.put, put)

    async def accounts(self, tenant_id: str | None = None) -> list[Account]:
        return await self._read(accounts.find(self._service, self._keys, tenant_id))

    async def account(self, lane: Lane) -> Account | None:
        found = await self._read(
            accounts.find(self._service, self._keys, lane.tenant_id, lane.account_id)
        )
        return found[0] if found else None

    async def delete_account(self, lane: Lane) -> bool:
        gone: bool | None = None
        while gone is None:
            gone = await self._writer.submit(accounts.delete, lane, rows=accounts.ORPHAN_BATCH)
        return gone

    # --- messages ---

    async def remove_messages(self, tenant_id: str, ids: Sequence[str]) -> list[Removal]:
        answers: list[Removal] = []
        for start in range(0, len(ids), retention.BATCH):
            batch = retention.Removals(tenant_id, ids[start : start + retention.BATCH])
            answer = await self._writer.submit(retention.remove, batch, rows=len(batch.ids))
            answers.extend(answer)
        return answers

    async def messages(
        self, which: Filter, *, limit: int, after_key: int = 0, max_bytes: int
    ) -> list[MessageRecord]:
        return await self._read(listing.page(self._looking, which, limit, after_key, max_bytes))

    async def history(self, tenant_id: str, id: str) -> MessageHistory | None:
        return await self._read(listing.history(self._looking, tenant_id, id))

    # --- the queue as a whole ---

    def pending(self) -> int:
        return self._writer.pending

    async def oldest_ready(self) -> float | None:
        return await self._read(queue.oldest_ready(self._service))

    async def is_active(self) -> bool:
        return await self._read(queue.is_active(self._service))

    async def set_active(self, active: bool) -> None:
        await self._writer.submit(queue.set_active, active)
