"""SQLite as the store uses it: connections, transactions, and what its errors mean."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import aiosqlite
from pydantic_core import from_json

from asyncmail.clock import Clock
from asyncmail.store.base import NewMessage
from asyncmail.store.fresh import Fresh

log: Final = logging.getLogger("asyncmail.store")

BUSY_STEP_MS = 250  # one wait for a lock; the writer decides how many of them
CHECKPOINT_PAGES = 4000
WAL_LIMIT_BYTES = 64 * 1024 * 1024
MOST_TOGETHER = 256  # rows of a statement; a power of two
CACHE_KIB = 8 * 1024  # twice as much makes a deep queue no faster, and every service larger
READ_CACHE_KIB = (
    4 * 1024
)  # a page of a listing is read once; a long one should leave no memory behind

# Codes that speak of the database's condition, not of the statement: https://sqlite.org/rescode.html
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_UNAVAILABLE = _BUSY | {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}

# What no later success undoes: https://www.sqlite.org/rescode.html#ioerr_fsync and its kind
_LASTING = {
    sqlite3.SQLITE_CORRUPT: "the database is damaged; stop the service and restore a backup",
    sqlite3.SQLITE_NOTADB: "the database is damaged; stop the service and restore a backup",
    sqlite3.SQLITE_IOERR_FSYNC: "the disk did not keep what was written; see to it, then restart",
}

_OPTIONS: dict[str, Any] = {
    "uri": True,
    "isolation_level": None,
    "timeout": BUSY_STEP_MS / 1000,
    "cached_statements": 256,
}

Row = sqlite3.Row
AnswerT = TypeVar("AnswerT")


class Connection:
    """A connection that reads, and its thread. Each statement costs a change of threads."""

    def __init__(self, raw: aiosqlite.Connection) -> None:
        self._raw = raw

    @classmethod
    async def open(cls, path: Path) -> Connection:
        """Connect to an existing database."""
        raw = await aiosqlite.connect(_uri(path), **_OPTIONS)
        raw.row_factory = sqlite3.Row
        connection = cls(raw)
        try:
            for pragma in _pragmas(READ_CACHE_KIB, query_only=True):
                await connection.rows(pragma)
        except BaseException:
            await raw.close()
            raise
        return connection

    async def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Execute one statement and fetch all it returns."""
        return list(await self._raw.execute_fetchall(sql, parameters))

    async def gathered(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """See ``Transaction.gathered``."""
        rows = await self.rows(sql, parameters)
        gathered: list[Any] = from_json(rows[0][0])
        return gathered

    async def close(self) -> None:
        await self._raw.close()


class Transaction:
    """One write transaction under way, as the operations see it; its times are those of its start."""

    def __init__(self, raw: sqlite3.Connection, clock: Clock, fresh: Fresh) -> None:
        self._raw = raw
        self.fresh = fresh
        self.accepted: list[tuple[int, NewMessage]] = []  # by key; fresh once this is committed
        self.wall = clock.wall()
        self.steady = clock.steady()
        self.pending = 0  # change to the number of messages that are not final

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Execute one statement and fetch all it returns."""
        return self._raw.execute(sql, parameters).fetchall()

    def gathered(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """The rows of a query that gathers them in one JSON list.

        SQLite hands the interpreter back after each row, and takes it again from a busy event loop: many
        rows in one step cost one such turn instead of many. Of a real number 15 digits come through.
        """
        gathered: list[Any] = from_json(self._raw.execute(sql, parameters).fetchone()[0])
        return gathered

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a changing statement once per row; for rows that are few."""
        self._raw.executemany(sql, rows)

    def together(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Execute a changing statement with ``VALUES {rows}`` for all rows in one step.

        See ``gathered`` for why. They are padded to a power of two with rows of nulls, which the
        statement must pass over: so that there are few different ones.
        """
        for start in range(0, len(rows), MOST_TOGETHER):
            some = rows[start : start + MOST_TOGETHER]
            width, size = len(some[0]), 1 << (len(some) - 1).bit_length()
            nulls = (None,) * (width * (size - len(some)))
            self._raw.execute(_with_rows(sql, width, size), (*chain(*some), *nulls))

    def numbers(self, name: str, count: int) -> range:
        """The next ``count`` numbers of a series of ``meta``; none is ever given twice."""
        rows = self.rows(
            "UPDATE meta SET value = value + ? WHERE name = ? RETURNING value", (count, name)
        )
        last = int(rows[0]["value"])
        return range(last - count + 1, last + 1)

    def sinks(self) -> list[str]:
        """The names of the active sinks."""
        return [row["name"] for row in self.rows("SELECT name FROM sinks")]


class Engine:
    """The connection that writes. A whole transaction is one visit to its thread.

    Not aiosqlite: there each statement is a visit of its own, and between two of them the event loop must
    have its turn, however long that is.
    """

    def __init__(self, raw: sqlite3.Connection, thread: ThreadPoolExecutor, clock: Clock) -> None:
        self._raw = raw
        self._thread = thread
        self._clock = clock
        self._fresh = Fresh(clock.steady)

    @classmethod
    async def open(cls, path: Path, clock: Clock) -> Engine:
        """Connect to an existing database."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="asyncmail store writer")
        try:
            loop = asyncio.get_running_loop()
            raw = await loop.run_in_executor(thread, _connected, path)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(raw, thread, clock)

    async def run(self, work: Callable[[Transaction], AnswerT]) -> AnswerT:
        """Do it in a transaction of its own and commit. Nothing is kept of one that raises.

        Raises ``Locked`` where it could not begin because another process writes.
        """
        return await self._do(partial(self._transact, work))

    async def checkpoint(self) -> None:
        """Bring what is in the log into the database file; what finds no room there stays where it is."""
        try:
            await self._do(partial(self._raw.execute, "PRAGMA wal_checkpoint(TRUNCATE)"))
        except sqlite3.Error as error:
            log.warning("the log of the database stays for the next start: %s", error)

    async def close(self) -> None:
        try:
            await self._do(self._raw.close)
        finally:
            self._thread.shutdown()

    async def _do(self, work: Callable[[], AnswerT]) -> AnswerT:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _transact(self, work: Callable[[Transaction], AnswerT]) -> AnswerT:
        try:
            self._raw.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if is_busy(error):
                raise Locked from error
            raise
        try:
            transaction = Transaction(self._raw, self._clock, self._fresh)
            answer = work(transaction)
            self._raw.execute("COMMIT")
        except BaseException:
            if self._raw.in_transaction:  # SQLite ends some by itself
                with contextlib.suppress(sqlite3.Error):
                    self._raw.execute("ROLLBACK")
            raise
        self._fresh.keep(transaction.accepted)
        return answer


class Locked(Exception):
    """Another process had the database locked for as long as one attempt waits."""


def _connected(path: Path) -> sqlite3.Connection:
    raw: sqlite3.Connection = sqlite3.connect(_uri(path), **_OPTIONS)
    raw.row_factory = sqlite3.Row
    try:
        for pragma in _pragmas(CACHE_KIB, query_only=False):
            raw.execute(pragma).fetchall()
    except BaseException:
        raw.close()
        raise
    return raw


@cache
def _with_rows(sql: str, width: int, count: int) -> str:
    row = f"({', '.join('?' * width)})"
    return sql.replace("{rows}", ", ".join([row] * count))


def _uri(path: Path) -> str:
    return f"file:{quote(os.fspath(path))}?mode=rw"


def _pragmas(cache_kib: int, *, query_only: bool) -> tuple[str, ...]:
    return (
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}",
        f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}",
        f"PRAGMA cache_size = -{cache_kib}",
        f"PRAGMA query_only = {'ON' if query_only else 'OFF'}",
    )


def is_busy(error: BaseException) -> bool:
    """Whether somebody else holds the lock."""
    return _code(error) in _BUSY


def is_unavailable(error: BaseException) -> bool:
    """Whether the database, not the statement, is at fault."""
    return _code(error) in _UNAVAILABLE


def finds_no_room(error: BaseException) -> bool:
    """Whether the disk, or a quota, left nothing to write to."""
    return _extended_code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)


def lasting_harm(error: BaseException) -> str:
    """What has to be done about it, if no later success undoes it; else nothing."""
    code = _extended_code(error)
    return "" if code is None else _LASTING.get(code) or _LASTING.get(code & 0xFF, "")


def _code(error: BaseException) -> int | None:
    code = _extended_code(error)
    return None if code is None else code & 0xFF


def _extended_code(error: BaseException) -> int | None:
    if not isinstance(error, sqlite3.Error):
        return None
    return getattr(error, "sqlite_errorcode", None)
