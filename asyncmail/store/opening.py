"""From a path to a database that may be used: found or made, recognised, checked, migrated.

Runs before any connection of the store is open, with the lock held, in a thread of its own. A file that
is not ours, or is damaged, is left exactly as it is.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from asyncmail.errors import DatabaseUnusable
from asyncmail.store import migrations
from asyncmail.store.lockfile import LockFile
from asyncmail.store.migrations import APPLICATION_ID, Migration

MAGIC = b"SQLite format 3\x00"
HEADER_BYTES = 100
CHECKED_BYTES = 64 * 1024 * 1024  # a larger file is not read through at each start
OLDEST_SQLITE = (3, 37, 0)  # STRICT tables
COMPANIONS = ("-wal", "-shm", "-journal")


def prepare(
    path: Path, lock: LockFile, steps: Sequence[Migration], *, init: bool, active: bool = True
) -> None:
    """Make ``path`` a database of the newest schema. Raises ``DatabaseUnusable``, ``SchemaTooNew``.

    ``init``: start a new queue where the old one is unusable or gone; an unusable file is kept aside.
    ``active``: whether a new queue starts out sending.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise DatabaseUnusable(
            f"database {path}: SQLite {sqlite3.sqlite_version} is too old",
            hint="3.37 or newer is needed",
        )
    try:
        fault = _fault(path, lock)
        if fault is not None:
            if not init:
                raise DatabaseUnusable(
                    f"database {path}: {fault}",
                    hint="restore it from a backup, or start a new queue with --init",
                )
            _set_aside(path)
        if path.exists():
            _upgrade(path, lock, steps)
        else:
            _create(path, lock, steps, active=active)
    except (sqlite3.Error, OSError) as error:
        raise DatabaseUnusable(f"database {path}: {error}") from error


def _fault(path: Path, lock: LockFile) -> str | None:
    """What is wrong with the file, or ``None``; a file that never was is not wrong."""
    if not path.exists():
        if lock.database_id is None:
            return None
        return f"the file is gone; {lock.path.name} says there was one"
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if not header:
        return "the file is empty"
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        return "this is not an SQLite database"
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        return "this is a database of another program"
    try:
        return _damage(path, header, lock)
    except sqlite3.DatabaseError as error:
        return str(error)


def _damage(path: Path, header: bytes, lock: LockFile) -> str | None:
    """What reading the database brings to light, without writing to it."""
    size = path.stat().st_size
    wal = path.with_name(path.name + "-wal")
    page_size = int.from_bytes(header[16:18], "big")
    page_size = 65536 if page_size == 1 else page_size
    pages = int.from_bytes(header[28:32], "big")
    if size < page_size * pages and not (wal.exists() and wal.stat().st_size):
        return f"the file is truncated: {size} bytes of {page_size * pages}"
    with _connected(path, "mode=ro") as connection:
        if size <= CHECKED_BYTES:
            verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            if verdict != "ok":
                return verdict
        try:
            database_id = migrations.meta(connection, "database_id")
        except DatabaseUnusable as error:
            return str(error)
    if lock.database_id is not None and lock.database_id != database_id:
        return f"this is not the database that {lock.path.name} remembers"
    return None


def _create(path: Path, lock: LockFile, steps: Sequence[Migration], *, active: bool) -> None:
    """Make it under another name first, so that a crash leaves no half of it."""
    making = path.with_name(path.name + ".new")
    for leftover in (making, *(making.with_name(making.name + end) for end in COMPANIONS)):
        leftover.unlink(missing_ok=True)
    os.close(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    database_id = str(uuid.uuid4())
    with _connected(making, "mode=rw") as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        migrations.migrate(connection, steps)
        connection.execute("INSERT INTO meta VALUES ('database_id', ?)", (database_id,))
        connection.execute("UPDATE meta SET value = ? WHERE name = 'active'", (int(active),))
    making.rename(path)
    _sync_folder(path)
    lock.remember(database_id)


def _upgrade(path: Path, lock: LockFile, steps: Sequence[Migration]) -> None:
    """Bring an existing database to the newest schema; a copy is made first."""
    path.chmod(0o600)
    with _connected(path, "mode=rw") as connection:
        migrations.check_readable(connection, path, steps)
        version = migrations.version_of(connection)
        if version < steps[-1].version:
            _copy(connection, path, version)
            migrations.migrate(connection, steps)
        lock.remember(migrations.meta(connection, "database_id"))


def _copy(connection: sqlite3.Connection, path: Path, version: int) -> None:
    copy = path.with_name(f"{path.name}.version-{version}")
    making = copy.with_name(copy.name + ".new")
    making.unlink(missing_ok=True)
    os.close(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with _connected(making, "mode=rw") as target:
            connection.backup(target)
    except sqlite3.Error:
        making.unlink()  # half of a copy would take up what the disk has left
        raise
    making.replace(copy)
    _sync_folder(copy)


def _set_aside(path: Path) -> None:
    """Keep an unusable database, with what belongs to it, under a name with the time."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for end in ("", *COMPANIONS):
        file = path.with_name(path.name + end)
        if file.exists():
            file.rename(path.with_name(f"{path.name}.unusable-{moment}{end}"))


@contextlib.contextmanager
def _connected(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(
        f"file:{quote(os.fspath(path))}?{mode}", uri=True, isolation_level=None
    )
    try:
        yield connection
    finally:
        connection.close()


def _sync_folder(path: Path) -> None:
    fd = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
