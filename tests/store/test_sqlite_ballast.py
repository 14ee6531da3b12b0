"""Room set aside for results on a full disk: given up for them alone, and made again (G24)."""

from __future__ import annotations

import asyncio
import stat

import pytest
from sqlite_stores import SQLiteStores
from test_sqlite_writer import PATIENCE, pragma, until_health_is

from asyncmail.errors import StoreUnavailable
from asyncmail.store.ballast import Ballast
from asyncmail.store.base import Addition, Status
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.stores.steps import Steps

SIZE = 3_000_000
UNLIMITED = 1_000_000  # pages


async def opened(stores: SQLiteStores, clock: ManualClock) -> Steps:
    return Steps(await stores.open(ballast_bytes=SIZE), clock)


async def fill_up(steps: Steps) -> None:
    """From here on SQLite finds no room for another page."""
    pages = await pragma(steps, "page_count")
    await pragma(steps, f"max_page_count = {pages}")


async def test_it_is_the_owners_and_has_its_size(stores: SQLiteStores, clock: ManualClock) -> None:
    steps = await opened(stores, clock)
    assert stores.ballast.stat().st_size == SIZE
    assert stores.ballast.stat().st_blocks * 512 >= SIZE, "room on the disk, not a promise of room"
    assert stat.S_IMODE(stores.ballast.stat().st_mode) == 0o600
    made = stores.ballast.stat().st_mtime_ns
    await steps.store.close()
    await opened(stores, clock)
    assert stores.ballast.stat().st_mtime_ns == made


async def test_another_size_is_made_at_the_next_start(
    stores: SQLiteStores, clock: ManualClock
) -> None:
    await (await opened(stores, clock)).store.close()
    await (await stores.open(ballast_bytes=SIZE // 2)).close()
    assert stores.ballast.stat().st_size == SIZE // 2
    await stores.open(ballast_bytes=0)
    assert not stores.ballast.exists()


@pytest.mark.fault("disk.full")
async def test_it_is_given_up_for_a_result_and_made_again(
    stores: SQLiteStores, clock: ManualClock
) -> None:
    steps = await opened(stores, clock)
    await steps.add("m1")
    [claim] = await steps.claim()
    await fill_up(steps)
    recording = asyncio.create_task(steps.store.record([steps.failed(claim, "x" * 1_000_000)]))
    await until_health_is(steps, ok=False)
    async with asyncio.timeout(PATIENCE):
        while stores.ballast.exists():  # noqa: ASYNC110 - another thread deletes it
            await asyncio.sleep(0.01)
    await pragma(steps, f"max_page_count = {UNLIMITED}")
    assert await asyncio.wait_for(recording, PATIENCE) == [True]
    await until_health_is(steps, ok=True)
    assert stores.ballast.stat().st_size == SIZE
    assert [record.status for record in await steps.listed()] == [Status.ERROR]


async def test_new_mail_does_not_get_it(stores: SQLiteStores, clock: ManualClock) -> None:
    steps = await opened(stores, clock)
    await fill_up(steps)
    with pytest.raises(StoreUnavailable, match="full"):
        await steps.add("m1", payload='"' + "x" * 1_000_000 + '"')
    assert stores.ballast.exists()


async def test_while_it_is_gone_mail_that_waited_for_its_commit_is_refused_and_results_are_not(
    stores: SQLiteStores, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = await opened(stores, clock)
    await steps.add("m1")
    [claim] = await steps.claim()
    adding = asyncio.create_task(steps.add("m2"))
    await asyncio.sleep(0)  # it waits for the writer now
    monkeypatch.setattr(Ballast, "restore", lambda self: self.held)  # the disk stays full
    steps.store._ballast.give_up()
    assert await steps.store.record([steps.sent(claim)]) == [True]
    with pytest.raises(StoreUnavailable, match=r"no room for queue\.db\.ballast"):
        await adding
    with pytest.raises(StoreUnavailable, match=r"no room for queue\.db\.ballast"):
        await steps.add("m3")
    monkeypatch.undo()
    await until_health_is(steps, ok=True)
    assert await steps.add("m3") == [Addition.STORED]


async def test_at_a_start_on_a_full_disk_it_makes_room_for_the_start(
    stores: SQLiteStores, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await opened(stores, clock)).store.close()
    monkeypatch.setattr(Ballast, "_free", lambda self: 0)
    steps = await opened(stores, clock)
    assert not stores.ballast.exists()
    assert not steps.store.health().ok
    monkeypatch.undo()
    await until_health_is(steps, ok=True)
    assert stores.ballast.exists()
