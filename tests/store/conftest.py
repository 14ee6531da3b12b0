"""The fixtures of the store's tests; another engine brings a ``stores`` of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlite_stores import SQLiteStores

from asyncmail.store.base import Store
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.stores.steps import Steps


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def stores(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SQLiteStores]:
    stores = SQLiteStores(tmp_path, clock)
    yield stores
    await stores.close()


@pytest.fixture
async def store(stores: SQLiteStores) -> Store:
    return await stores.open()


@pytest.fixture
def steps(store: Store, clock: ManualClock) -> Steps:
    return Steps(store, clock)
