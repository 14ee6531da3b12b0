"""The database as a file: made, recognised, refused, migrated, held by one (G23, G27, G28)."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlite_stores import SQLiteStores

from asyncmail.errors import DatabaseHeld, DatabaseUnusable, SchemaTooNew
from asyncmail.store import migrations
from asyncmail.store.lockfile import LockFile
from asyncmail.store.migrations import Migration
from asyncmail.store.opening import prepare
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.stores.steps import Steps, ids


async def made(stores: SQLiteStores, clock: ManualClock) -> None:
    """A database with a message, closed again."""
    store = await stores.open()
    await Steps(store, clock).add("m1")
    await store.close()


async def test_all_files_are_the_owners_alone(stores: SQLiteStores, clock: ManualClock) -> None:
    old = os.umask(0)
    try:
        store = await stores.open()
        await Steps(store, clock).add("m1")
    finally:
        os.umask(old)
    files = sorted(stores.path.parent.iterdir())
    assert {f"queue.db{end}" for end in ("", "-wal", "-shm", ".lock")} < {f.name for f in files}
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in files} == {
        file.name: 0o600 for file in files
    }


async def test_a_closed_database_is_one_file_and_its_lock(
    stores: SQLiteStores, clock: ManualClock
) -> None:
    await made(stores, clock)
    names = {file.name for file in stores.path.parent.iterdir()}
    assert names == {"queue.db", "queue.db.lock", "asyncmail.key"}


@pytest.mark.fault("process.second_server")
async def test_a_second_server_is_told_who_holds_the_file(stores: SQLiteStores) -> None:
    await stores.open()
    with pytest.raises(DatabaseHeld, match=f"process {os.getpid()} on "):
        await stores.make().open()


async def test_a_held_database_can_be_opened_once_it_is_let_go(stores: SQLiteStores) -> None:
    store = await stores.open()
    await store.close()
    await store.close()
    await stores.open()


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def write_text(path: Path) -> None:
    path.write_text("this is no database" * 100)


def damage_header(path: Path) -> None:
    path.write_bytes(b"\xff" * 100 + path.read_bytes()[100:])


def damage_pages(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xaa" * (len(data) - 4096))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def make_foreign(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE meta (name, value)")
    connection.close()


def exchange(path: Path) -> None:
    """Another database of ours, under this one's name."""
    other = path.with_name("other.db")
    lock = LockFile(other)
    lock.acquire()
    prepare(other, lock, migrations.known(), init=False)
    lock.release()
    shutil.move(other, path)


FAULTS = [remove, empty, write_text, damage_header, damage_pages, truncate, make_foreign, exchange]


@pytest.mark.fault("disk.unusable_database")
@pytest.mark.parametrize("fault", FAULTS)
async def test_an_unusable_database_is_refused_and_left_untouched(
    stores: SQLiteStores, clock: ManualClock, fault: Callable[[Path], None]
) -> None:
    await made(stores, clock)
    fault(stores.path)
    before = stores.path.read_bytes() if stores.path.exists() else None
    with pytest.raises(DatabaseUnusable, match=r"queue\.db"):
        await stores.make().open()
    after = stores.path.read_bytes() if stores.path.exists() else None
    assert before == after


@pytest.mark.parametrize("fault", FAULTS)
async def test_init_starts_a_new_queue_and_keeps_the_unusable_file_aside(
    stores: SQLiteStores, clock: ManualClock, fault: Callable[[Path], None]
) -> None:
    await made(stores, clock)
    fault(stores.path)
    before = stores.path.read_bytes() if stores.path.exists() else None
    store = await stores.open(init=True)
    assert await Steps(store, clock).listed() == []
    aside = [f.read_bytes() for f in stores.path.parent.glob("queue.db.unusable-*Z")]
    assert aside == ([] if before is None else [before])
    await store.close()
    await stores.open()


async def test_init_leaves_a_good_database_as_it_is(
    stores: SQLiteStores, clock: ManualClock
) -> None:
    await made(stores, clock)
    assert ids(await Steps(await stores.open(init=True), clock).listed()) == ["m1"]


async def test_a_database_without_its_lock_file_is_adopted(
    stores: SQLiteStores, clock: ManualClock
) -> None:
    await made(stores, clock)
    stores.path.with_name("queue.db.lock").unlink()
    store = await stores.open()
    await store.close()
    stores.path.unlink()
    with pytest.raises(DatabaseUnusable, match="gone"):
        await stores.make().open()


async def test_an_unfinished_creation_is_begun_anew(
    stores: SQLiteStores, clock: ManualClock
) -> None:
    stores.path.with_name("queue.db.lock").touch()
    stores.path.with_name("queue.db.new").write_bytes(b"half")
    assert await Steps(await stores.open(), clock).add("m1")


async def test_a_folder_that_is_not_there_is_named(stores: SQLiteStores) -> None:
    stores.path = stores.path.parent / "nowhere" / "queue.db"
    with pytest.raises(DatabaseUnusable, match="nowhere"):
        await stores.make().open()


# --- migrations ----------------------------------------------------------------------------------

ADD_COLUMN = Migration(2, "ALTER TABLE messages ADD COLUMN colour TEXT;", min_compatible=1)
BROKEN = Migration(3, "CREATE TABLE half (x); SELECT nonsense;", min_compatible=1)
GROWING = Migration(
    2, "CREATE TABLE wide (x); INSERT INTO wide VALUES (zeroblob(9000000));", min_compatible=1
)
BREAKING = Migration(9, "CREATE TABLE nine (x);", min_compatible=9)


def migrated(path: Path, *more: Migration) -> None:
    lock = LockFile(path)
    lock.acquire()
    try:
        prepare(path, lock, [*migrations.known(), *more], init=False)
    finally:
        lock.release()


def schema(path: Path) -> list[tuple[str, str]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    finally:
        connection.close()


async def test_a_migration_keeps_the_data_and_a_copy_of_what_was_before(
    stores: SQLiteStores, clock: ManualClock
) -> None:
    await made(stores, clock)
    before = schema(stores.path)
    migrated(stores.path, ADD_COLUMN)
    copy = stores.path.with_name("queue.db.version-1")
    assert schema(copy) == before
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert "colour" in str(schema(stores.path))
    assert ids(await Steps(await stores.open(), clock).listed()) == ["m1"]


async def test_a_fresh_schema_equals_a_migrated_one(
    stores: SQLiteStores, clock: ManualClock
) -> None:
    await made(stores, clock)
    migrated(stores.path, ADD_COLUMN)
    fresh = stores.path.with_name("fresh.db")
    migrated(fresh, ADD_COLUMN)
    assert schema(fresh) == schema(stores.path)


async def test_a_migration_that_fails_leaves_the_version_before_it(
    stores: SQLiteStores, clock: ManualClock
) -> None:
    await made(stores, clock)
    before = schema(stores.path)
    with pytest.raises(DatabaseUnusable, match="nonsense"):
        migrated(stores.path, BROKEN)
    assert schema(stores.path) == before
    assert ids(await Steps(await stores.open(), clock).listed()) == ["m1"]


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """For this process no file may grow beyond that, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.fault("disk.full_at_upgrade")
async def test_a_migration_that_finds_no_room_leaves_all_as_it_was_and_is_done_when_there_is(
    stores: SQLiteStores, clock: ManualClock
) -> None:
    store = await stores.open()
    await Steps(store, clock).add("m1", payload='"' + "x" * 2_000_000 + '"')
    await store.close()
    before, size = schema(stores.path), stores.path.stat().st_size
    with files_end_at(size // 2), pytest.raises(DatabaseUnusable, match="disk I/O error"):
        migrated(stores.path, GROWING)
    assert not list(stores.path.parent.glob("queue.db.version-1*")), "half a copy takes up room"
    with files_end_at(size + 1_000_000), pytest.raises(DatabaseUnusable, match="disk I/O error"):
        migrated(stores.path, GROWING)
    assert schema(stores.path) == before
    migrated(stores.path, GROWING)
    assert ids(await Steps(await stores.open(), clock).listed()) == ["m1"]


async def test_a_newer_compatible_schema_opens_and_an_incompatible_one_does_not(
    stores: SQLiteStores, clock: ManualClock
) -> None:
    await made(stores, clock)
    migrated(stores.path, ADD_COLUMN)
    store = await stores.open()
    await store.close()
    migrated(stores.path, ADD_COLUMN, BREAKING)
    with pytest.raises(SchemaTooNew, match="version 9"):
        await stores.make().open()


# --- the process ---------------------------------------------------------------------------------

PROGRAM = """
import asyncio, sys
from pathlib import Path
from asyncmail.clock import SystemClock
from asyncmail.store.keys import KeyRing
from asyncmail.store.sqlite import SQLiteStore

async def main():
    folder = Path(sys.argv[1])
    keys = KeyRing.load(folder / "key")
    store = SQLiteStore(folder / "queue.db", clock=SystemClock(), keys=keys)
    await store.open()
    try:
        await store.ready_lanes()
        if sys.argv[2] == "fail":
            raise SystemExit(7)
    finally:
        await store.close()

asyncio.run(main())
"""


@pytest.mark.parametrize(("how", "code"), [("end", 0), ("fail", 7)])
def test_a_process_that_used_the_store_exits(tmp_path: Path, how: str, code: int) -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path), how], timeout=30)
    assert run.returncode == code


def test_a_process_whose_open_fails_exits(tmp_path: Path) -> None:
    (tmp_path / "queue.db").write_text("foreign")
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), "end"], timeout=30, capture_output=True
    )
    assert run.returncode == 1
    assert b"not an SQLite database" in run.stderr
