"""What the tests of harm share: a seed that is printed, a service as a process, and published figures."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from asyncmail.testing.real_service import RealService

RESULTS = os.environ.get("ASYNCMAIL_FAULT_RESULTS")  # a folder for figures, else they are dropped


@pytest.fixture
def seed() -> int:
    """A new one each time; printed, so that ``ASYNCMAIL_SEED`` can repeat the run."""
    seed = int(os.environ.get("ASYNCMAIL_SEED") or secrets.randbelow(1_000_000))
    sys.stdout.write(f"ASYNCMAIL_SEED={seed}\n")
    return seed


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[RealService]:
    """Not started yet: the test may say more about it first."""
    async with RealService(tmp_path / "service") as made:
        yield made


Publish = Callable[..., None]


@pytest.fixture
def publish(request: pytest.FixtureRequest) -> Publish:
    """Hand in figures for docs/reliability.md: ``publish("What was done", survived="20 of 20", lost=0)``.

    Call it at the end of a test, when everything has been asserted. One file per test, replaced by
    each run; ``tests/faults/publish.py`` makes the page of them.
    """

    def write(what: str, **figures: Any) -> None:
        if RESULTS is None:
            return
        named = {name.replace("_", " "): value for name, value in figures.items()}
        path = request.node.path.relative_to(request.config.rootpath)
        entry = {
            "what": what,
            "command": f"tox -e faults -- {path} -k {request.node.originalname}",
            "figures": named,
        }
        name = f"{request.node.path.stem}-{request.node.originalname}.json"
        Path(RESULTS).mkdir(parents=True, exist_ok=True)
        (Path(RESULTS) / name).write_text(json.dumps(entry, indent=1) + "\n")

    return write
