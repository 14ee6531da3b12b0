"""SQLite as the store uses it: connections, transactions, and what its errors mean."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiosqlite

from asyncmail.clock import Clock

BUSY_STEP_MS = 250  # one wait for a lock; the writer decides how many of them
CHECKPOINT_PAGES = 4000
WAL_LIMIT_BYTES = 64 * 1024 * 1024
CACHE_KIB = 16 * 1024
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

Row = sqlite3.Row


class Connection:
    """One connection and its thread. Statements cost a change of threads each: few and big ones."""

    def __init__(self, raw: aiosqlite.Connection) -> None:
        self._raw = raw
        self._cursors: list[aiosqlite.Cursor] = []

    @classmethod
    async def open(cls, path: Path, *, read_only: bool) -> Connection:
        """Connect to an existing database."""
        raw = await aiosqlite.connect(
            f"file:{quote(os.fspath(path))}?mode=rw",
            uri=True,
            isolation_level=None,
            timeout=BUSY_STEP_MS / 1000,
            cached_statements=256,
        )
        raw.row_factory = sqlite3.Row
        connection = cls(raw)
        try:
            for pragma in (
                "journal_mode = WAL",
                "synchronous = FULL",
                f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
                f"journal_size_limit = {WAL_LIMIT_BYTES}",
                f"cache_size = -{READ_CACHE_KIB if read_only else CACHE_KIB}",
                f"query_only = {'ON' if read_only else 'OFF'}",
            ):
                await connection.rows(f"PRAGMA {pragma}")
        except BaseException:
            await raw.close()
            raise
        return connection

    async def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Execute one statement and fetch all it returns."""
        return list(await self._raw.execute_fetchall(sql, parameters))

    async def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a changing statement once per row.

        The cursor is kept until ``settle``: dropping it in this thread while the other one is at work
        would make the event loop wait for SQLite's mutex, and closing it costs another change of threads.
        """
        self._cursors.append(await self._raw.executemany(sql, rows))

    def settle(self) -> None:
        """Forget the cursors of the statements so far; nothing may be running."""
        self._cursors.clear()

    @property
    def in_transaction(self) -> bool:
        return self._raw.in_transaction

    async def close(self) -> None:
        self._cursors.clear()
        await self._raw.close()


class Transaction:
    """One write transaction under way, as the operations see it; its times are those of its start."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self.wall = clock.wall()
        self.steady = clock.steady()
        self.pending = 0  # change to the number of messages that are not final
        self.rows = connection.rows
        self.many = connection.many

    async def numbers(self, name: str, count: int) -> range:
        """The next ``count`` numbers of a series of ``meta``; none is ever given twice."""
        rows = await self.rows(
            "UPDATE meta SET value = value + ? WHERE name = ? RETURNING value", (count, name)
        )
        last = int(rows[0]["value"])
        return range(last - count + 1, last + 1)

    async def sinks(self) -> list[str]:
        """The names of the active sinks."""
        return [row["name"] for row in await self.rows("SELECT name FROM sinks")]


class Engine:
    """The transactions of the connection that writes."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    async def begin(self) -> Transaction:
        await self._connection.rows("BEGIN IMMEDIATE")
        return Transaction(self._connection, self._clock)

    async def commit(self) -> None:
        await self._connection.rows("COMMIT")
        self._connection.settle()

    async def rollback(self) -> None:
        """End what is open; an error that SQLite answered with a rollback of its own left nothing."""
        self._connection.settle()
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                await self._connection.rows("ROLLBACK")


def is_busy(error: BaseException) -> bool:
    """Whether somebody else holds the lock."""
    return _code(error) in _BUSY


def is_unavailable(error: BaseException) -> bool:
    """Whether the database, not the statement, is at fault."""
    return _code(error) in _UNAVAILABLE


def _code(error: BaseException) -> int | None:
    if not isinstance(error, sqlite3.Error):
        return None
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
