"""Harm to the files of a running store: a damaged page, a lost log, an endless one (G27)."""

from __future__ import annotations

import logging

import pytest
from sqlite_stores import SQLiteStores
from test_sqlite_files import files_end_at
from test_sqlite_writer import connected, pragma

from asyncmail.errors import StoreUnavailable
from asyncmail.store import health
from asyncmail.store.base import Addition
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.stores.steps import Steps, ids

PAGE = 4096


@pytest.mark.fault("disk.damaged_page")
async def test_a_page_that_is_damaged_while_it_runs_ends_accepting_for_good(
    stores: SQLiteStores, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = await stores.open()
    await Steps(store, clock).add(*(f"m{n}" for n in range(200)))
    await store.close()
    steps = Steps(await stores.open(), clock)
    size = stores.path.stat().st_size
    with stores.path.open("r+b") as file:  # all but the first pages, which are read at a start
        file.seek(8 * PAGE)
        file.write(b"\xaa" * (size - 8 * PAGE))
    with pytest.raises(StoreUnavailable, match="malformed"):
        await steps.listed()
    assert "restore a backup" in steps.store.health().reason
    with pytest.raises(StoreUnavailable, match="restore a backup"):
        await steps.add("new")
    await steps.store.set_active(False)  # a commit that works does not undo it
    assert "restore a backup" in steps.store.health().reason
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL]


@pytest.mark.fault("disk.file_taken_away")
async def test_a_log_that_is_taken_away_is_noticed_and_a_stop_still_keeps_everything(
    stores: SQLiteStores, clock: ManualClock
) -> None:
    steps = Steps(await stores.open(), clock)
    await steps.add("m1")
    stores.path.with_name("queue.db-wal").unlink()
    clock.advance(1)
    assert "queue.db-wal: No such file" in steps.store.health().reason
    with pytest.raises(StoreUnavailable):
        await steps.add("m2")
    stores.path.with_name("queue.db-wal").touch()
    clock.advance(1)
    assert "queue.db-wal was replaced" in steps.store.health().reason
    await steps.store.close()
    assert ids(await Steps(await stores.open(), clock).listed()) == ["m1"]


@pytest.mark.fault("disk.full")
async def test_what_finds_no_room_in_the_database_at_a_stop_stays_in_its_log(
    stores: SQLiteStores, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    steps = Steps(await stores.open(), clock)
    await steps.add("m1", payload='"' + "x" * 2_000_000 + '"')
    with files_end_at(1_000_000):
        await steps.store.close()
    assert "stays for the next start" in caplog.text
    assert ids(await Steps(await stores.open(), clock).listed()) == ["m1"]


@pytest.mark.fault("disk.long_reader")
async def test_a_long_reader_is_told_of_and_what_it_held_up_shrinks_behind_it(
    stores: SQLiteStores,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    limit = 400_000
    monkeypatch.setattr(health, "LONG_LOG_BYTES", limit)
    steps = Steps(await stores.open(), clock)
    await pragma(steps, "wal_autocheckpoint = 20")
    await pragma(steps, f"journal_size_limit = {limit}")
    wal = stores.path.with_name("queue.db-wal")

    async def write(name: str) -> None:
        for number in range(20):
            added = await steps.add(f"{name}{number}", payload='"' + "x" * 50_000 + '"')
            assert added == [Addition.STORED]
        clock.advance(1)
        assert steps.store.health().ok

    await write("before")
    assert wal.stat().st_size < limit
    assert caplog.messages == []
    with connected(stores.path) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM messages").fetchone()
        await write("meanwhile")
        assert wal.stat().st_size > limit
        [words] = caplog.messages
        assert "another program reads the database" in words
        clock.advance(1)
        assert steps.store.health().ok
        assert len(caplog.messages) == 1, "said once, not at every look"
    await write("afterwards")
    assert wal.stat().st_size <= limit
    assert len(caplog.messages) == 1
