"""The observer keeps the promises that every observer has to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from journal_reading import ids

from asyncmail import Observer
from asyncmail.testing import ObserverSuite


class TestJournal(ObserverSuite):
    offer = "journal"

    @pytest.fixture
    def settings(self, path: Path) -> Mapping[str, Any]:
        self.path = path
        return {"path": str(path), "max_bytes": 4096, "compress": True}

    async def noticed(self, extension: Observer) -> Sequence[str | None]:
        await extension.stop()  # writes what waits
        return ids(self.path)
