"""A service as a process of its own, with a folder for everything it writes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncmail.testing.real_service import RealService


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[RealService]:
    """Not started yet: the test may say more about it first."""
    async with RealService(tmp_path / "service") as made:
        yield made
