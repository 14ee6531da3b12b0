"""What the tests of harm share: a seed that is printed, a service as a process, and published figures."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from asyncmail.testing.real_service import RealService

DEFAULT_SEED = 365783  # it once found a fault of the harness itself
RESULTS = os.environ.get("ASYNCMAIL_FAULT_RESULTS")  # a folder for figures, else they are dropped


@pytest.fixture
def seed() -> int:
    """The same each time, or that of ``ASYNCMAIL_SEED``: a change is judged by what it changes."""
    seed = int(os.environ.get("ASYNCMAIL_SEED") or DEFAULT_SEED)
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
    """Hand in figures for docs/reliability.md: ``publish("What was done", lost=0, copies=1200)``.

    Call it at the end of a test, when everything has been asserted. The cases of a parametrised test are
    one row of the page: numbers are added up, and it says how many of them got this far.
    """
    node: pytest.Function = request.node

    def write(what: str, **figures: Any) -> None:
        if RESULTS is None:
            return
        path = node.path.relative_to(request.config.rootpath)
        test = node.originalname
        entry = {
            "what": what,
            "command": f"tox -e faults -- {path}::{test}",
            "commit": _commit(request.config.rootpath),
            "cases": sum(
                isinstance(other, pytest.Function)
                and (other.path, other.originalname) == (node.path, test)
                for other in request.session.items
            ),
            "figures": {name.replace("_", " "): value for name, value in figures.items()},
        }
        Path(RESULTS).mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^\w.-]+", "-", f"{node.path.stem}-{node.name}").strip("-")
        (Path(RESULTS) / f"{name}.json").write_text(json.dumps(entry, indent=1) + "\n")

    return write


def _commit(root: Path) -> str:
    """What was tested, with a mark where the tree had changes."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True).stdout.strip()
