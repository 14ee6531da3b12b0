"""Power cuts: of everything that was written only what was synced is left, and it is enough (G1)."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from powercut import Shadow

from asyncmail.testing import FaultSMTP
from asyncmail.testing.crash import Kills, Verdict
from asyncmail.testing.real_service import ASYNCMAIL, RealService, mail, until

CUTS = 20
PATIENCE = 3.0  # seconds for what a careless build never does
CARELESS = (sys.executable, str(Path(__file__).parent / "sabotage" / "synchronous.py"))


async def after_cuts(
    folder: Path, seed: int, cuts: int, program: tuple[str, ...], patience: float = 90.0
) -> Verdict:
    shadow = Shadow(folder / "run" / "service", folder / "shadow")
    run = Kills(
        folder / "run",
        seed,
        program=shadow.program(program),
        patience=patience,
        aftermath=shadow.cut,
    )
    return await run.run(cuts)


@pytest.mark.fault("process.power_cut")
@pytest.mark.xdist_group("power cuts")
async def test_twenty_power_cuts_lose_nothing_and_every_second_copy_is_explained(
    tmp_path: Path, seed: int, publish: Callable[..., None]
) -> None:
    verdict = await after_cuts(tmp_path, seed, CUTS, ASYNCMAIL)
    for name, value in verdict.figures().items():
        sys.stdout.write(f"{name:<30} {value}\n")
    assert verdict.faults == []
    assert verdict.pending_kills >= CUTS / 2
    publish("Power cuts: only what was synced is left", seed=str(seed), **verdict.figures())


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
async def test_commits_that_are_not_synced_are_caught(tmp_path: Path, synchronous: str) -> None:
    try:
        verdict = await after_cuts(tmp_path, 1, 2, (*CARELESS, synchronous), PATIENCE)
    except TimeoutError:
        return  # the account itself is gone, and nothing is sent any more
    assert verdict.lost


@pytest.mark.fault("disk.fsync_error")
async def test_a_sync_that_fails_is_not_answered_with_200_and_ends_accepting_and_sending(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "service"
    shadow = Shadow(folder, tmp_path / "shadow")
    async with FaultSMTP() as smtp, RealService(folder, program=shadow.program()) as service:
        await service.start()
        await service.account(smtp.port)
        await service.hand_in([mail("before")])
        await service.in_state("sent", 1)

        shadow.fail_next_sync()
        refused = await service.api.post("/commands/add-messages", json={"messages": [mail("m1")]})
        assert refused.status_code == 503
        assert shadow.has_failed
        for _ in range(2):  # the disk syncs again, and is not believed
            ready = await service.api.get("/readyz")
            assert ready.status_code == 503
            assert "did not keep what was written" in ready.json()["detail"]
            again = await service.api.post(
                "/commands/add-messages", json={"messages": [mail("m2")]}
            )
            assert again.status_code == 503
            assert int(again.headers["Retry-After"]) >= 1

        await service.kill()
        shadow.cut()
        await service.start()
        await service.hand_in([mail("m1"), mail("m2")])

        async def all_sent() -> bool:
            return len((await service.get("/messages", status="sent"))["messages"]) == 3

        await until(all_sent)
        assert set(smtp.copies.values()) == {1}
        await service.kill()
    with closing(sqlite3.connect(folder / "asyncmail.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
