"""Deleting an account with much mail: in steps, so that nobody waits long for the writer."""

from __future__ import annotations

import asyncio

import pytest

from asyncmail.store import accounts
from asyncmail.store.sqlite import SQLiteStore
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.stores.steps import SHOP, Steps, ids


async def test_an_account_with_much_mail_goes_with_the_last_of_it(
    steps: Steps, store: SQLiteStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "ORPHAN_BATCH", 3)
    await steps.account()
    await steps.account("other")
    await steps.add(*(f"r{n}" for n in range(5)))
    await steps.add(*(f"s{n}" for n in range(5)), deferred_ts=clock.wall() + 100)
    await steps.add("theirs", account_id="other")
    before = store._writer.pending
    deletion = asyncio.ensure_future(store.delete_account(SHOP))
    added = asyncio.ensure_future(steps.add("meanwhile"))
    assert await deletion
    await added
    assert store._writer.pending == before + 1
    await steps.account()
    assert await steps.claim() == []
    assert len(ids(await store.claim_orphans(100))) == 11
    assert await store.delete_account(SHOP)
    assert not await store.delete_account(SHOP)
