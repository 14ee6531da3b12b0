"""The wall clock of the machine is set in mid-run: of what the service does only dates change (G25)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import require_program

from asyncmail.testing import FaultSMTP, ReportReceiver
from asyncmail.testing.real_service import ASYNCMAIL, RealService, id_of, mail, until

RETRY = 4.0  # seconds
BUSY = 3.0  # seconds by which a machine that does other things may be late
HOUR = 3600
ACCOUNTS = {"limited": {"limit_per_minute": 2}, "down": {}, "shop": {}}


class Calendar:
    """The wall clock of one program, through libfaketime; its steady clock stays the machine's."""

    def __init__(self, file: Path) -> None:
        require_program("faketime", "faketime")
        self._file = file
        self.set(0)

    def set(self, seconds: int) -> None:
        """So far ahead of the true time it is from now on."""
        making = self._file.with_suffix(".new")
        making.write_text(f"{seconds:+d}\n")
        making.replace(self._file)  # the program reads it at every look at the clock

    def program(self) -> tuple[str, ...]:
        [library] = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        values = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": self._file,
            "FAKETIME_NO_CACHE": 1,
            "FAKETIME_DONT_FAKE_MONOTONIC": 1,
            "NO_FAKE_STAT": 1,
        }
        return ("env", *(f"{name}={value}" for name, value in values.items()), *ASYNCMAIL)


@pytest.mark.fault("clock.jump")
@pytest.mark.parametrize(
    "jump", [HOUR, -2 * HOUR, 24 * HOUR], ids=["an hour on", "two hours back", "a day on"]
)
async def test_a_jump_of_the_clock_moves_no_retry_no_limit_and_no_claim(
    tmp_path: Path, jump: int, publish: Callable[..., None]
) -> None:
    calendar = Calendar(tmp_path / "time")
    service = RealService(tmp_path / "service", program=calendar.program())
    async with service, FaultSMTP() as smtp, ReportReceiver() as receiver:
        service.config["delivery"] = {"retry_delays": [RETRY]}
        service.config["client"] = {"proxy_sync_url": receiver.url}
        await service.start()
        for id, limits in ACCOUNTS.items():
            await service.account(9 if id == "down" else smtp.port, id, **limits)
        soon = time.time() + HOUR / 2
        await service.hand_in(
            [
                mail("later", deferred_ts=int(soon)),
                mail("again", "again+rcpt.451~1@fault.test"),
                mail("slow", "slow+dot.accept.sleep2500@fault.test"),
                mail("waits", account_id="down"),
                *(mail(f"l{n}", account_id="limited") for n in range(4)),
            ]
        )

        def copies() -> dict[str, float]:
            return {id_of(copy.message_id): copy.time for copy in smtp.accepted}

        async def have(*ids: str) -> None:
            await smtp.wait_for(lambda: set(ids) <= copies().keys(), timeout=RETRY + BUSY)

        async def refused() -> bool:
            return bool((await service.get("/messages/again"))["attempts"])

        await have("slow", "l0", "l1")
        await until(refused)
        refused_at = time.time()
        calendar.set(jump)

        await service.hand_in([mail("new")])
        await have("new", "again")
        assert RETRY - 1 < copies()["again"] - refused_at < RETRY + BUSY
        assert abs(copies()["new"] - time.time()) < RETRY + BUSY
        if jump > 0:  # the calendar says that it is due
            await have("later")
            await service.in_state("sent", 6)
        await asyncio.sleep(1)  # for what must not happen
        expected = {"slow", "l0", "l1", "new", "again"} | ({"later"} if jump > 0 else set())
        assert copies().keys() == expected, "the limit gave out no unit, nothing else was early"
        assert set(smtp.copies.values()) == {1}, "no claim was taken from its owner"

        sent = await service.get("/messages/new")
        assert abs(sent["sent_ts"] - (time.time() + jump)) < 60, "dates are the machine's"
        for id in ("waits", "l2", "l3"):
            assert (await service.get(f"/messages/{id}"))["error_ts"] is None, "nothing is too old"

        async def all_reported() -> bool:
            return expected <= receiver.by_id.keys()

        await until(all_reported)
        shown = (await service.get("/messages"))["messages"]
        assert len(shown) == 9, "retention deleted nothing"
    publish("The clock jumps in mid-run", messages=len(shown), copies=len(smtp.accepted))
