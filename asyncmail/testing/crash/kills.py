"""kill -9 at random moments, again and again, while mail goes through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from asyncmail.testing.crash.mails import LIMIT, LIMITED, Mails
from asyncmail.testing.crash.verdict import Verdict
from asyncmail.testing.crash.world import BATCH, DRAIN_SECONDS, World, untouched
from asyncmail.testing.real_service import ASYNCMAIL, until

BATCHES = (1, 5, BATCH)
WAITING_MIN, WAITING_MAX = 20, 80  # the backlog that the client aims at: always a dot on its way
LIFE = (0.02, 0.5)  # seconds that a service lives, once it listens or mail flows
STARTING = 0.1  # so many are killed while they start,
START_SECONDS = 1.0
MAIL_FLOWS = 0.75  # and so many lives are counted from the first message that arrives
LIMITED_PART = 0.6  # of the run; what waits for its unit then has time to get it


def _quiet(line: str) -> None:
    """Nobody listens."""


class Kills:
    """One run on one folder; everything that is drawn follows from ``seed``. See ``World``, too."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        program: Sequence[str] = ASYNCMAIL,
        hold: bool = False,
        limited: bool = False,
        patience: float = DRAIN_SECONDS,
        aftermath: Callable[[], None] = untouched,
        tell: Callable[[str], None] = _quiet,
    ) -> None:
        self._seed = seed
        self._random = Random(seed)  # noqa: S311 - not a secret
        self._limited = limited
        self._tell = tell
        self._world = World(
            folder,
            Mails(seed),
            program=program,
            hold=hold,
            patience=patience,
            aftermath=aftermath,
        )

    async def run(self, kills: int) -> Verdict:
        """Kill so many services, let the last one finish, and judge."""
        world = self._world
        async with world.neighbours(self._seed):
            await world.start()
            await self._warm_up()
            for number in range(1, kills + 1):
                limited = self._limited and number <= kills * LIMITED_PART
                await self._feed_and_kill(limited=limited)
                if number < kills:
                    await self._start_or_kill()
                if number % 10 == 0:
                    self._tell(
                        f"{number} kills, {len(world.client.accepted)} acknowledged,"
                        f" {world.backlog} waiting"
                    )
            await world.start()
            return await world.finish()

    async def _warm_up(self) -> None:
        """Mail of every kind goes through once, so that memory can be compared with the end."""
        world = self._world
        await world.accounts()
        await world.hand_in(BATCH)
        await until(world.all_reported)
        world.weigh()

    async def _start_or_kill(self) -> None:
        """Start the next one; a few are killed on their way, and another one takes their place."""
        if self._random.random() < STARTING:
            self._world.begin()
            await self._world.service.run()
            await asyncio.sleep(self._random.uniform(0, START_SECONDS))
            await self._world.kill()
        await self._world.start()

    async def _feed_and_kill(self, *, limited: bool) -> None:
        over = asyncio.Event()
        feeding = asyncio.create_task(self._feed(over, limited=limited))
        if self._random.random() < MAIL_FLOWS:
            await self._a_copy_arrives()
        await asyncio.sleep(self._random.uniform(*LIFE))
        over.set()
        await self._world.kill()
        await feeding

    async def _a_copy_arrives(self) -> None:
        world = self._world
        world.look()
        before = len(world.server.copies)

        async def arrived() -> bool:
            world.look()
            return len(world.server.copies) > before

        await until(arrived)

    async def _feed(self, over: asyncio.Event, *, limited: bool) -> None:
        """Hand in batches until the service is gone."""
        while not over.is_set():
            backlog = self._world.backlog
            if backlog >= WAITING_MAX:
                await asyncio.sleep(0.01)
                continue
            size = self._random.choice(BATCHES) if backlog >= WAITING_MIN else BATCH
            slowed = sum(id.startswith(LIMITED) for id in self._world.client.waiting)
            if not await self._world.hand_in(size, limited=limited and slowed < LIMIT):
                return
