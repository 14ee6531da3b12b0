"""Group commit on SQLite: what fails, what waits, and who hears of it (G12, G16, G24, G26)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlite_stores import SQLiteStores

from asyncmail.errors import StoreError, StoreUnavailable
from asyncmail.store.base import Addition, Health, Status
from asyncmail.store.claims import LARGE
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.stores.steps import Steps, ids

PATIENCE = 10.0  # seconds for what should take none


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """Another process's view of the database."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody else's write transaction."""
    with connected(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def forbid(path: Path, id: str) -> None:
    """Make the database refuse one message, whatever is done to it."""
    with connected(path) as connection:
        for event in ("INSERT", "UPDATE"):
            connection.execute(
                f"CREATE TRIGGER forbid_{event} BEFORE {event} ON messages WHEN new.id = '{id}' "
                "BEGIN SELECT raise(ABORT, 'forbidden'); END"
            )


async def test_waiting_accepts_share_a_commit(steps: Steps, stores: SQLiteStores) -> None:
    with connected(stores.path) as other:
        other.execute("CREATE TABLE commits (total INTEGER)")
        other.execute("INSERT INTO commits VALUES (0)")
        other.execute(  # the arrival numbers are taken once per transaction
            "CREATE TRIGGER count_commits AFTER UPDATE ON meta WHEN new.name = 'arrival' "
            "BEGIN UPDATE commits SET total = total + 1; END"
        )
        await asyncio.gather(*(steps.add(f"m{n}") for n in range(100)))
        assert other.execute("SELECT total FROM commits").fetchone()[0] <= 2


async def test_of_a_group_only_the_bad_one_fails(steps: Steps, stores: SQLiteStores) -> None:
    forbid(stores.path, "bad")
    answers = await asyncio.gather(
        *(steps.add(name) for name in ("m1", "bad", "m2")), return_exceptions=True
    )
    assert [answers[0], answers[2]] == [[Addition.STORED]] * 2
    assert isinstance(answers[1], StoreError)
    assert "forbidden" in str(answers[1])
    assert ids(await steps.listed()) == ["m1", "m2"]
    assert steps.store.pending() == 2
    assert steps.store.health() == Health(True)


async def test_of_a_group_of_results_only_the_bad_one_is_not_recorded(
    steps: Steps, stores: SQLiteStores
) -> None:
    await steps.add("m1", "bad", "m2")
    claims = await steps.claim()
    forbid(stores.path, "bad")
    answers = await asyncio.gather(
        *(steps.store.record([steps.sent(c)]) for c in claims), return_exceptions=True
    )
    assert [answers[0], answers[2]] == [[True]] * 2
    assert isinstance(answers[1], StoreError)
    shown = {r.id: r.status for r in await steps.listed()}
    assert shown == {"m1": Status.SENT, "bad": Status.SENDING, "m2": Status.SENT}


async def test_a_cancelled_caller_does_not_cancel_the_commit(
    steps: Steps, stores: SQLiteStores
) -> None:
    task = asyncio.create_task(steps.add("m1"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await steps.add("m2") == [Addition.STORED]
    assert ids(await steps.listed()) == ["m1", "m2"]
    assert steps.store.pending() == 2


@pytest.mark.fault("disk.locked_database")
async def test_an_accept_waits_for_a_lock_and_no_longer_than_its_time(
    stores: SQLiteStores, clock: ManualClock
) -> None:
    steps = Steps(await stores.open(lock_seconds=0.5), clock)
    loop = asyncio.get_running_loop()
    with locked(stores.path):
        start = loop.time()
        with pytest.raises(StoreUnavailable, match="locked"):
            await steps.add("m1")
        assert 0.4 < loop.time() - start < 2.0
        assert not steps.store.health().ok
    assert await steps.listed() == []


async def test_a_short_lock_goes_unnoticed(steps: Steps, stores: SQLiteStores) -> None:
    with locked(stores.path):
        task = asyncio.create_task(steps.add("m1"))
        await asyncio.wait([task], timeout=0.1)
    assert await asyncio.wait_for(task, PATIENCE) == [Addition.STORED]


@pytest.mark.fault("disk.locked_database")
async def test_results_and_acknowledgements_outwait_a_lock(
    stores: SQLiteStores, clock: ManualClock
) -> None:
    steps = Steps(await stores.open(lock_seconds=0.1), clock)
    await steps.store.activate_sinks(["app"])
    await steps.send("m1")
    await steps.add("m2")
    [claim] = await steps.claim()
    reports = await steps.store.unreported("app", 10)
    with locked(stores.path):
        recording = asyncio.create_task(steps.store.record([steps.sent(claim)]))
        acknowledging = asyncio.create_task(steps.store.acknowledge("app", reports))
        with pytest.raises(StoreUnavailable):
            await steps.claim()
        assert not recording.done()
        assert not acknowledging.done()
    assert await asyncio.wait_for(recording, PATIENCE) == [True]
    await asyncio.wait_for(acknowledging, PATIENCE)
    assert [r.status for r in await steps.listed()] == [Status.SENT] * 2


async def pragma(steps: Steps, what: str) -> object:
    """Ask the connection that writes, in its thread."""
    engine = steps.store._writer._engine
    rows = await engine._do(lambda: engine._raw.execute(f"PRAGMA {what}").fetchall())
    answer: object = rows[0][0]
    return answer


async def until_health_is(steps: Steps, ok: bool) -> None:
    """The store's health is a value to look at, so this looks; bounded by time."""
    async with asyncio.timeout(PATIENCE):
        while steps.store.health().ok is not ok:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.02)


async def test_a_full_database_refuses_loses_nothing_and_recovers_by_itself(
    steps: Steps, stores: SQLiteStores
) -> None:
    await steps.add("m1")
    [claim] = await steps.claim()
    pages = await pragma(steps, "page_count")
    await pragma(steps, f"max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="full"):
        await steps.add("m2", payload='"' + "x" * 1_000_000 + '"')
    await pragma(steps, "max_page_count = 1000000")
    await until_health_is(steps, ok=True)
    assert await steps.store.record([steps.sent(claim)]) == [True]
    assert await steps.add("m3") == [Addition.STORED]
    assert ids(await steps.listed()) == ["m1", "m3"]


async def test_results_that_found_no_room_are_written_when_there_is_some(
    steps: Steps,
) -> None:
    await steps.add("m1")
    [claim] = await steps.claim()
    pages = await pragma(steps, "page_count")
    await pragma(steps, f"max_page_count = {pages}")
    big = steps.failed(claim, "x" * 1_000_000)
    recording = asyncio.create_task(steps.store.record([big]))
    await until_health_is(steps, ok=False)
    assert not recording.done()
    with pytest.raises(StoreUnavailable):
        await steps.add("m2")
    await pragma(steps, "max_page_count = 1000000")
    assert await asyncio.wait_for(recording, PATIENCE) == [True]
    await until_health_is(steps, ok=True)


async def test_low_disk_refuses_until_there_is_room(
    stores: SQLiteStores, clock: ManualClock
) -> None:
    steps = Steps(await stores.open(min_free_bytes=1 << 62), clock)
    assert "disk" in steps.store.health().reason
    with pytest.raises(StoreUnavailable, match="disk"):
        await steps.add("m1")
    steps.store._health._min_free_bytes = 0
    assert not steps.store.health().ok, "the look at the disk is believed for a second"
    clock.advance(1)
    assert steps.store.health().ok
    assert await steps.add("m1") == [Addition.STORED]


async def test_a_database_file_that_is_taken_away_is_noticed(
    steps: Steps, stores: SQLiteStores, clock: ManualClock
) -> None:
    assert steps.store.health().ok
    stores.path.rename(stores.path.with_name("elsewhere.db"))
    clock.advance(1)
    assert str(stores.path) in steps.store.health().reason
    stores.path.write_bytes(b"another")
    clock.advance(1)
    assert "replaced" in steps.store.health().reason


async def test_closing_finishes_what_was_handed_in(
    stores: SQLiteStores, clock: ManualClock
) -> None:
    steps = Steps(await stores.open(), clock)
    tasks = [asyncio.create_task(steps.add(f"m{n}")) for n in range(10)]
    await asyncio.sleep(0)
    await steps.store.close()
    assert await asyncio.gather(*tasks) == [[Addition.STORED]] * 10
    with pytest.raises(StoreUnavailable):
        await steps.add("late")
    with pytest.raises(StoreUnavailable):
        await steps.store.ready_lanes()


async def test_closing_does_not_wait_for_ever_for_a_lock(
    stores: SQLiteStores, clock: ManualClock
) -> None:
    steps = Steps(await stores.open(lock_seconds=0.1), clock)
    await steps.add("m1")
    [claim] = await steps.claim()
    with locked(stores.path):
        recording = asyncio.create_task(steps.store.record([steps.sent(claim)]))
        await asyncio.sleep(0)
        await asyncio.wait_for(steps.store.close(), PATIENCE)
        with pytest.raises(StoreUnavailable):
            await recording


async def test_a_commit_is_on_the_disk_before_it_is_answered(steps: Steps) -> None:
    full = 2  # https://www.sqlite.org/pragma.html#pragma_synchronous
    assert await pragma(steps, "synchronous") == full
    assert await pragma(steps, "journal_mode") == "wal"


async def test_readers_cannot_write(steps: Steps) -> None:
    for reader in (steps.store._service, steps.store._looking):
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await reader.rows("DELETE FROM messages")


async def test_a_claim_fails_with_a_result_that_is_refused(
    steps: Steps, stores: SQLiteStores
) -> None:
    """It was asked for on the slot of that result, which is not free."""
    await steps.add("m1", "m2")
    [claim] = await steps.claim(1)
    forbid(stores.path, "m1")
    recorded, claimed = await asyncio.gather(
        steps.store.record([steps.sent(claim)]), steps.claim(1), return_exceptions=True
    )
    assert isinstance(recorded, StoreError)
    assert isinstance(claimed, StoreUnavailable)
    assert [r.status for r in await steps.listed()] == [Status.SENDING, Status.QUEUED]


def raising() -> Iterator[Any]:
    raise RuntimeError("boom")
    yield


async def test_picks_or_results_that_raise_when_their_turn_comes_fail_alone(steps: Steps) -> None:
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(RuntimeError):
            await steps.store.claim(raising(), max_bytes=1000)
        with pytest.raises(RuntimeError):
            await steps.store.record(raising())
        assert await steps.add("m1") == [Addition.STORED]


async def test_large_payloads_come_through_beside_small_ones(steps: Steps) -> None:
    large = '"' + "x" * (2 * LARGE) + '"'
    await steps.add("small")
    await steps.add("large", payload=large)
    assert [claim.payload == large for claim in await steps.claim()] == [False, True]
