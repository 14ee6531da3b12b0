"""kill -9, again and again: nothing is lost, and whoever got a message twice can be told why."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from crash import CrashRun

KILLS = 20
SABOTAGED = Path(__file__).with_name("serve_without_claim_commit.py")

pytestmark = pytest.mark.xdist_group("crash")


async def test_twenty_kills_lose_nothing_and_every_second_copy_is_explained(
    tmp_path: Path, seed: int
) -> None:
    verdict = await CrashRun(tmp_path, seed).run(KILLS)
    sys.stdout.write(f"{verdict}\n")
    assert verdict.pending_kills >= KILLS / 2
    assert verdict.lost == set()
    assert verdict.unexplained == {}
    assert verdict.unreported == set()
    assert verdict.untrue == set()
    assert verdict.strangers == set()


async def test_a_build_without_the_claim_commit_is_caught(tmp_path: Path, seed: int) -> None:
    program = (sys.executable, str(SABOTAGED))
    verdict = await CrashRun(tmp_path, seed, program=program).run(4)
    sys.stdout.write(f"{verdict}\n")
    assert verdict.pending_kills
    assert verdict.unexplained
