"""SQLite keeps the promises of every store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlite_stores import SQLiteStores

from asyncmail.testing import ManualClock, StoreSuite


class TestSQLite(StoreSuite):
    @pytest.fixture
    async def stores(self, tmp_path: Path, clock: ManualClock) -> AsyncIterator[SQLiteStores]:
        stores = SQLiteStores(tmp_path, clock)
        yield stores
        await stores.close()
