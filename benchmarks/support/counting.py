"""A neighbour in a process of its own that counts what it gets, and tells when a number is reached.

The child half is ``Counter`` with ``serve``, the parent half is ``Counting``. They talk in JSON lines
over the child's standard input and output. Times are ``time.monotonic()``, one clock for all processes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

PATIENCE = 600.0  # seconds that a number may take
BENCHMARKS = Path(__file__).parents[1]


class Counter:
    """What the child has seen: how many, the last one, when; and the times of those marked."""

    def __init__(self) -> None:
        self.count = 0
        self.changed_at = 0.0
        self.last: str | None = None
        self.marked: dict[str, float] = {}
        self._awaited: int | None = None

    def add(self, number: int, last: str | None = None) -> None:
        """Count ``number`` more; answers the parent once it has what it waits for."""
        self.count += number
        self.changed_at = time.monotonic()
        self.last = last or self.last
        self._tell()

    def mark(self, name: str) -> None:
        """Keep the time at which this one came."""
        self.marked[name] = time.monotonic()

    def command(self, line: bytes) -> None:
        """``{"reached": n}`` is answered when the count is there, ``{"marked": true}`` at once."""
        asked = json.loads(line)
        if "reached" in asked:
            self._awaited = asked["reached"]
            self._tell()
        else:
            say(self.marked)
            self.marked = {}

    def _tell(self) -> None:
        if self._awaited is not None and self.count >= self._awaited:
            self._awaited = None
            say({"count": self.count, "at": self.changed_at, "last": self.last})


def say(value: Any) -> None:
    """One line to the parent."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def serve(counter: Counter, protocol: Callable[[], asyncio.Protocol]) -> None:
    """Listen on a free loopback port, say which, and obey the parent until it closes the pipe."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=1024)
    say({"port": server.sockets[0].getsockname()[1]})
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        counter.command(line)


class Counting:
    """The parent's hand on such a child."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port
        self.total = 0  # what the child has counted when everything so far has arrived

    async def expect(self, more: int) -> tuple[float, str | None]:
        """Wait until ``more`` have come since the last call; when the last came, and its name."""
        self.total += more
        answer = await self._ask({"reached": self.total})
        if answer["count"] != self.total:
            raise RuntimeError(f"{answer['count']} arrived where {self.total} were sent")
        return answer["at"], answer["last"]

    async def marked(self) -> dict[str, float]:
        """The times of the marked ones since the last call."""
        return await self._ask({"marked": True})

    async def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        return json.loads(line)


@asynccontextmanager
async def counting(module: str) -> AsyncIterator[Counting]:
    """Such a child while the block runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        cwd=BENCHMARKS,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Counting(process, json.loads(await process.stdout.readline())["port"])
    finally:
        process.stdin.close()
        await process.wait()


def run(work: Awaitable[None]) -> None:
    """Run a child or a benchmark on uvloop."""
    import uvloop

    uvloop.run(work)  # type: ignore[arg-type]
