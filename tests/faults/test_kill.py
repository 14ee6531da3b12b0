"""kill -9, again and again: nothing is lost, and whoever got a message twice can be told why."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncmail.testing.crash import Kills, Verdict

KILLS = 60
HELD_KILLS = 20


def say(verdict: Verdict) -> None:
    """Shown if the test fails."""
    for name, value in verdict.figures().items():
        sys.stdout.write(f"{name:<30} {value}\n")


@pytest.mark.fault("process.kill")
@pytest.mark.xdist_group("kills")
async def test_sixty_kills_lose_nothing_and_every_second_copy_is_explained(
    tmp_path: Path, seed: int, publish: Callable[..., None]
) -> None:
    verdict = await Kills(tmp_path / "run", seed, limited=True).run(KILLS)
    say(verdict)
    assert verdict.faults == []
    assert verdict.pending_kills >= KILLS / 2
    assert verdict.injected
    publish("kill -9 at random moments", seed=str(seed), **verdict.figures())


@pytest.mark.fault("process.kill")
@pytest.mark.xdist_group("held kills")
async def test_under_hold_kills_send_nothing_twice(
    tmp_path: Path, seed: int, publish: Callable[..., None]
) -> None:
    verdict = await Kills(tmp_path / "run", seed, hold=True).run(HELD_KILLS)
    say(verdict)
    assert verdict.faults == []
    assert verdict.extra == 0
    assert verdict.pending_kills >= HELD_KILLS / 2
    publish("kill -9 with `on_uncertain = hold`", seed=str(seed), **verdict.figures())
