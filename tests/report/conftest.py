"""Fixtures for the tests of reporting."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from report_bench import Bench

from asyncmail.model import Account
from asyncmail.store.keys import KeyRing
from asyncmail.store.sqlite import SQLiteStore
from asyncmail.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def bench(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Bench]:
    """A bench whose store keeps results for the sink ``app``."""
    store = SQLiteStore(tmp_path / "mail.db", clock=clock, keys=KeyRing({"k": bytes(32)}))
    await store.open()
    try:
        await store.put_account(Account("shop", host="localhost"), keep_password=False)
        await store.activate_sinks(["app"])
        yield Bench(store, clock)
    finally:
        await store.close()
