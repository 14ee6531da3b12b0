"""``asyncmail serve`` as users run it: a process, a configuration file, and its REST API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

PATIENCE = 60.0  # seconds, for a machine that is busy with other things
ASYNCMAIL = (sys.executable, "-m", "asyncmail")

_LISTENS = re.compile(r"listens on (http://[^\s\x1b]+)")


class Died(AssertionError):
    """The service ended, or was ended, before it listened; the text is its log."""


class RealService:
    """One service after another on the same folder.

    ``config`` holds the sections of the configuration file and may be changed before ``start``.
    ``program`` is what runs ``serve``; ``log`` is what the present process has written so far.
    """

    def __init__(self, folder: Path, *, program: Sequence[str] = ASYNCMAIL) -> None:
        self.folder = folder
        self.program = program
        self.environ: dict[str, str] = {}
        self.config: dict[str, dict[str, Any]] = {
            "server": {"port": 0},
            "storage": {"min_free_bytes": 0},
            "delivery": {"retry_delays": [1, 2]},
        }
        self.url = ""
        self.log: list[str] = []
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._client: httpx.AsyncClient | None = None
        folder.mkdir(parents=True, exist_ok=True)

    async def __aenter__(self) -> RealService:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.kill()

    # --- the process ---

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The one that was started last; ``AssertionError`` after ``kill`` and before the first."""
        if self._process is None:
            raise AssertionError("the service is not running")
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    async def start(self) -> None:
        """Return once it listens; raises ``Died``."""
        await self.run()
        listening = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._follow(listening))
        try:
            async with asyncio.timeout(PATIENCE):
                self.connect(await listening)
        except TimeoutError:
            self.process.send_signal(signal.SIGABRT)  # with PYTHONFAULTHANDLER it says where it is
            await self._reading
            log = "".join(self.log)
            raise Died(f"it does not listen after {PATIENCE:g} s; its log: {log}") from None

    def connect(self, url: str) -> None:
        """Where its API is, for one that ``run`` started and that says nothing."""
        self.url = url
        self._client = httpx.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False)

    async def run(self) -> None:
        """Write the configuration file and begin."""
        (self.folder / "asyncmail.toml").write_text(toml(self.config))
        self.log = []
        self._process = await asyncio.create_subprocess_exec(
            *self.program,
            "serve",
            cwd=self.folder,
            env={**os.environ, "PYTHONFAULTHANDLER": "1", **self.environ},
            stderr=asyncio.subprocess.PIPE,
        )

    async def refusal(self) -> tuple[int, str]:
        """Exit code and words of a start that is to fail."""
        await self.run()
        async with asyncio.timeout(PATIENCE):
            _, stderr = await self.process.communicate()
        return await self.process.wait(), stderr.decode()

    async def _follow(self, listening: asyncio.Future[str]) -> None:
        async for line in _piped(self.process.stderr):
            self.log.append(line.decode())
            found = _LISTENS.search(self.log[-1])
            if found and not listening.done():
                listening.set_result(found[1])
        if not listening.done():
            listening.set_exception(Died("".join(self.log)))

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def ended(self, timeout: float = PATIENCE) -> int:  # noqa: ASYNC109 - a bound is the point
        """Wait for the end; the exit code, negative for the signal that killed it."""
        async with asyncio.timeout(timeout):
            code = await self.process.wait()
            if self._reading is not None:
                await self._reading
        if self._client is not None:
            await self._client.aclose()
        self._reading = self._client = None
        return code

    async def kill(self) -> None:
        """SIGKILL, as a crash would end it; nothing if it is not running."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        if self._process is not None:
            await self.ended()
        self._process = None

    def resident(self) -> int:
        """Bytes of memory that it has in use."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    # --- its REST API ---

    @property
    def api(self) -> httpx.AsyncClient:
        if self._client is None:
            raise AssertionError("the service is not running")
        return self._client

    async def get(self, path: str, **params: Any) -> Any:
        return _content(await self.api.get(path, params=params))

    async def post(self, path: str, body: Any = None) -> Any:
        return _content(await self.api.post(path, json=body))

    async def account(self, smtp_port: int, id: str = "shop", **more: Any) -> None:
        place = {"host": "127.0.0.1", "port": smtp_port, "tls": "none"}
        await self.post("/account", {"id": id, **place, **more})

    async def hand_in(self, mails: Iterable[Mapping[str, Any]]) -> Any:
        return await self.post("/commands/add-messages", {"messages": list(mails)})

    async def in_state(self, status: str, count: int, timeout: float = PATIENCE) -> None:  # noqa: ASYNC109
        """Wait until that many messages have that status."""

        async def reached() -> bool:
            return len((await self.get("/messages", status=status))["messages"]) >= count

        await until(reached, timeout)

    async def draining(self) -> None:
        """Wait until it says that it takes no new work."""

        async def refuses() -> bool:
            return (await self.api.get("/readyz")).status_code == 503

        await until(refuses)


def _piped(stream: asyncio.StreamReader | None) -> asyncio.StreamReader:
    if stream is None:
        raise AssertionError("the process was started without a pipe")
    return stream


def _content(response: httpx.Response) -> Any:
    if response.status_code != 200:
        raise AssertionError(f"{response.request.url}: {response.status_code} {response.text}")
    return response.json()


def mail(id: str, to: str | list[str] = "", **more: Any) -> dict[str, Any]:
    """A payload whose Message-ID tells its id to whoever reads a ledger."""
    return {
        "id": id,
        "account_id": "shop",
        "from": "orders@shop.example",
        "to": to or f"{id}@customer.example",
        "subject": f"Order {id}",
        "body": "Thank you.\n",
        "message_id": f"<{id}@shop.example>",
        **more,
    }


def id_of(message_id: str) -> str:
    """The id of the ``mail`` that a Message-ID belongs to."""
    return message_id.strip("<>").partition("@")[0]


async def until(what: Callable[[], Awaitable[bool]], timeout: float = PATIENCE) -> None:  # noqa: ASYNC109
    """Ask another process until the answer is yes; it has no way of telling when."""
    async with asyncio.timeout(timeout):
        while True:
            if await what():
                return
            await asyncio.sleep(0.02)


def toml(config: Mapping[str, Mapping[str, Any]]) -> str:
    """Sections as TOML, which for strings, numbers and lists of them is written like JSON."""
    lines = []
    for section, values in config.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


@asynccontextmanager
async def helper(*arguments: str) -> AsyncIterator[int]:
    """A server of ``asyncmail.testing`` as a process of its own; its port."""
    async with helper_process(*arguments) as (_, port):
        yield port


@asynccontextmanager
async def helper_process(
    *arguments: str,
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """The same with the process, for tests that harm it; its port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE):
            port: int = json.loads(await _piped(process.stdout).readline())["port"]
        yield process, port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)  # a stopped one would not hear the other
            process.terminate()
        await process.communicate()
