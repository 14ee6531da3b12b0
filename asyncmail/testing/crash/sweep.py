"""A crash at each failpoint: one life ends there, the next one goes on, and the ledgers are judged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from signal import SIGTERM

import httpx

from asyncmail.failpoints import EXIT_CODE, VARIABLE
from asyncmail.testing.crash.mails import Mails
from asyncmail.testing.crash.verdict import Verdict
from asyncmail.testing.crash.world import DRAIN_SECONDS, World
from asyncmail.testing.real_service import ASYNCMAIL, PATIENCE, Died, until

MESSAGES = 12


class Missed(AssertionError):
    """The process did all there is to do and never passed the failpoint."""


class CrashAt:
    """One failpoint, on one folder. ``number``: at which pass the process ends."""

    def __init__(
        self,
        folder: Path,
        point: str,
        seed: int,
        *,
        number: int = 1,
        program: Sequence[str] = ASYNCMAIL,
        patience: float = DRAIN_SECONDS,
    ) -> None:
        self._seed = seed
        self._point = f"{point}:{number}"
        self._world = World(folder, Mails(seed, decided=True), program=program, patience=patience)

    async def run(self) -> Verdict:
        """Raises ``Missed``."""
        world = self._world
        world.supervisor.failpoint = self._point
        async with world.neighbours(self._seed):
            world.service.environ[VARIABLE] = self._point
            await self._live_until_it_ends()
            del world.service.environ[VARIABLE]
            await world.start()
            await world.accounts()
            await world.service.post("/commands/activate")
            world.weigh()
            await world.hand_in(1)
            return await world.finish()

    async def _live_until_it_ends(self) -> None:
        world = self._world
        try:
            await world.start()
            await self._do_everything()
        except (Died, httpx.TransportError):
            pass  # as it should
        async with asyncio.timeout(PATIENCE):
            code = await world.service.process.wait()
        world.died(time.time())
        await world.service.kill()
        if code != EXIT_CODE:
            raise Missed(f"{self._point}: the process ended with {code}")

    async def _do_everything(self) -> None:
        """All that passes a failpoint somewhere; how far it comes depends on the point."""
        world = self._world
        await world.accounts()
        if not await world.hand_in(MESSAGES):
            return
        await until(self._reported)
        await until(self._cleaned_up)
        await world.service.post("/commands/suspend")
        await world.service.post("/commands/activate")
        await world.hand_in(MESSAGES)
        world.service.signal(SIGTERM)

    @property
    def _dead(self) -> bool:
        return self._world.service.process.returncode is not None

    async def _reported(self) -> bool:
        return self._dead or await self._world.all_reported()

    async def _cleaned_up(self) -> bool:
        answer = await self._world.service.post(
            "/commands/cleanup-messages", {"older_than_seconds": 0}
        )
        return self._dead or bool(answer["removed"])
