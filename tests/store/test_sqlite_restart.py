"""A restart begins steady time anew; what is stored on it is put right."""

from __future__ import annotations

import pytest
from sqlite_stores import SQLiteStores

from asyncmail.store.base import Store
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.stores.steps import Steps


async def left_after_restart(stores: SQLiteStores, clock: ManualClock) -> float:
    """The seconds that a message still waits, by a new process's clock."""
    restarted = ManualClock(clock.wall())
    store = await stores.open_after_kill(clock=restarted)
    due = (await store.due_times()).steady
    assert due is not None
    return due - restarted.steady()


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_set_before_a_message_is_deferred_lengthens_no_wait(
    steps: Steps, store: Store, stores: SQLiteStores, clock: ManualClock, hours: int
) -> None:
    await steps.add("m1")
    [claim] = await steps.claim()
    clock.set_wall(clock.wall() + hours * 3600)
    await store.record([steps.later(claim, 600)])
    clock.advance(100)
    assert await left_after_restart(stores, clock) <= 501


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_set_after_a_message_was_deferred_lengthens_no_wait(
    steps: Steps, store: Store, stores: SQLiteStores, clock: ManualClock, hours: int
) -> None:
    await steps.add("m1")
    [claim] = await steps.claim()
    await store.record([steps.later(claim, 600)])
    clock.advance(100)
    clock.set_wall(clock.wall() + hours * 3600)
    assert await left_after_restart(stores, clock) <= 601, "time that passed before cannot be told"


async def test_a_clock_left_alone_changes_no_wait(
    steps: Steps, store: Store, stores: SQLiteStores, clock: ManualClock
) -> None:
    clock.advance(0.75)
    await steps.add("m1")
    [claim] = await steps.claim()
    await store.record([steps.later(claim, 600.5)])
    clock.advance(100)
    assert await left_after_restart(stores, clock) == 500.5
