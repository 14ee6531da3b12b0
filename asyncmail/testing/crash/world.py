"""The world of a crash run: a service as a process, and the two neighbours that outlive it."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from signal import SIGTERM

import httpx

from asyncmail.testing.crash.books import ClientBook, Life, ServerBook, SinkBook, SupervisorBook
from asyncmail.testing.crash.mails import LIMIT, LIMITED, Mails
from asyncmail.testing.crash.verdict import Evidence, Verdict, extra_copies, judge
from asyncmail.testing.real_service import ASYNCMAIL, RealService, helper, until

DOT_DELAY = 0.05  # seconds between taking a message and saying so
FAILING_REPORTS = 10  # percent of the posts that get 503
SLOTS = 50  # [delivery] concurrency
BATCH = 20
DRAIN_SECONDS = 90.0


def untouched() -> None:
    """The files are as the process left them."""


class World:
    """Four ledgers in one folder, and the service that is to be harmed.

    ``program``: what runs ``serve``. ``hold``: nothing uncertain is sent again. ``patience``: seconds
    that the last process gets for what is left; what is missing then is missing. ``aftermath``: what
    becomes of the service's files after each kill.
    """

    def __init__(
        self,
        folder: Path,
        mails: Mails,
        *,
        program: Sequence[str] = ASYNCMAIL,
        hold: bool = False,
        patience: float = DRAIN_SECONDS,
        aftermath: Callable[[], None] = untouched,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise FileExistsError(f"{folder} has the ledgers of another run")
        self.mails = mails
        self.service = RealService(folder / "service", program=program)
        self.client = ClientBook(folder / "client.jsonl")
        self.server = ServerBook(folder / "smtp.jsonl")
        self.sink = SinkBook(folder / "reports.jsonl")
        self.supervisor = SupervisorBook(folder / "lives.jsonl")
        self._folder = folder
        self._hold = hold
        self._patience = patience
        self._aftermath = aftermath
        self._smtp_port = 0
        self._memory: list[int] = []
        self.service.config["delivery"]["concurrency"] = SLOTS
        self.service.config["delivery"]["on_uncertain"] = "hold" if hold else "retry"

    @asynccontextmanager
    async def neighbours(self, seed: int) -> AsyncIterator[None]:
        """The mail server and the application, as processes of their own."""
        smtp = ("--ledger", str(self._folder / "smtp.jsonl"), "--dot-delay", str(DOT_DELAY))
        reports = ("--ledger", str(self._folder / "reports.jsonl"), "--fail", str(FAILING_REPORTS))
        async with (
            helper("asyncmail.testing.faultsmtp", *smtp, "--seed", str(seed)) as smtp_port,
            helper("asyncmail.testing.receiver", *reports, "--seed", str(seed)) as port,
            self.service,
        ):
            self.service.config["client"] = {"proxy_sync_url": f"http://127.0.0.1:{port}/"}
            self._smtp_port = smtp_port
            try:
                yield
            finally:
                self.supervisor.write()
                self.client.close()

    # --- the service ---

    async def start(self) -> None:
        """Return once it listens."""
        self.begin()
        await self.service.start()

    def begin(self) -> None:
        """Write down that a process is about to be started."""
        self.look()
        ready = sum(not id.startswith(LIMITED) for id in self.client.waiting)
        self.supervisor.lives.append(Life(time.time(), ready))

    async def accounts(self) -> None:
        """The two that mail goes by."""
        await self.service.account(self._smtp_port)
        await self.service.account(self._smtp_port, LIMITED, limit_per_minute=LIMIT)

    async def kill(self) -> None:
        """SIGKILL it, now."""
        self.died(time.time())
        await self.service.kill()
        self._aftermath()

    def died(self, moment: float) -> None:
        """Write down that the process is gone before its time."""
        self.supervisor.lives[-1].killed = moment

    def weigh(self) -> None:
        """Note how much memory the process has in use."""
        self._memory.append(self.service.resident())

    # --- the client ---

    async def hand_in(self, size: int, *, limited: bool = False) -> bool:
        """Hand in a batch; whether an answer came."""
        ids = self.client.batch(size, limited=limited)
        try:
            answer = await self.service.hand_in(self.mails.mail(id) for id in ids)
        except (httpx.TransportError, httpx.DecodingError):
            self.client.heard_nothing(ids)
            return False
        self.client.told(ids, answer)
        return True

    def look(self) -> None:
        """Read what is new in the neighbours' ledgers."""
        self.client.seen(self.server.read())
        self.client.seen(self.sink.read())

    @property
    def backlog(self) -> int:
        """How much is waiting, more or less."""
        self.look()
        return len(self.client.waiting)

    async def all_reported(self) -> bool:
        """Whether the application knows what became of everything that was accepted."""
        return not self._unreported

    # --- the end ---

    async def finish(self) -> Verdict:
        """Hand in what nobody answered for, wait for every report, stop the service, and judge.

        The last process has to be running.
        """
        while self.client.unknown and await self.hand_in(min(len(self.client.unknown), BATCH)):
            pass
        with suppress(TimeoutError):
            await until(self.all_reported, self._patience)
        self.weigh()
        counts = {id: await self._uncertain(id) for id in extra_copies(self.server)}
        uncertain = {id: count for id, count in counts.items() if count is not None}
        unknown = {id for id in self._unreported if await self._uncertain(id) is None}
        self.service.signal(SIGTERM)
        code = await self.service.ended()
        evidence = Evidence(
            slots=SLOTS,
            hold=self._hold,
            integrity=self._integrity() if code == 0 else f"the service ended with {code}",
            uncertain=uncertain,
            unknown=frozenset(unknown),
            memory=(self._memory[0], self._memory[-1]),
            calm=os.getloadavg()[1] <= (os.cpu_count() or 1),
        )
        lives = self.supervisor.lives
        return judge(self.mails, self.client, self.server, self.sink, lives, evidence)

    @property
    def _unreported(self) -> set[str]:
        self.look()
        return self.client.accepted - self.sink.ids

    async def _uncertain(self, id: str) -> int | None:
        """How many attempts the service itself calls uncertain; ``None``: it does not know the id."""
        response = await self.service.api.get(f"/messages/{id}")
        if response.status_code != 200:
            return None
        uncertain: int = sum(attempt["uncertain"] for attempt in response.json()["attempts"])
        return uncertain

    def _integrity(self) -> str:
        path = self.service.folder / "asyncmail.db"
        with closing(sqlite3.connect(path)) as connection:
            return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
