"""A crash at every failpoint, deterministic where random kills may miss: the next start makes it good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asyncmail.failpoints import FAILPOINTS
from asyncmail.testing.crash import CrashAt
from asyncmail.testing.crash.sweep import MESSAGES

TAKEN = {
    "dot.written",
    "dot.replied",
    "result.in_batch",
}  # by the server, and nobody has recorded it


@pytest.mark.fault("process.failpoint")
@pytest.mark.parametrize("point", FAILPOINTS)
async def test_a_crash_there_is_survived(
    tmp_path: Path, seed: int, point: str, publish: Callable[..., None]
) -> None:
    verdict = await CrashAt(tmp_path / "run", point, seed).run()
    assert verdict.faults == []
    assert verdict.kills == 1
    if point == "accept.committed":  # but those that have failed since are new again
        assert verdict.recovered > MESSAGES / 2
    elif point.startswith("accept."):
        assert verdict.recovered == 0
    if point in TAKEN:
        assert verdict.extra + verdict.uncertain_errors
    publish(
        "A crash at each failpoint",
        acknowledged=verdict.acknowledged,
        lost=len(verdict.lost),
    )
