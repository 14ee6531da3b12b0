"""Running a test server as a process of its own, so that it outlives what it is used against."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Listening(Protocol):
    """A server that knows its port."""

    @property
    def port(self) -> int: ...


async def serve(server: AbstractAsyncContextManager[Listening]) -> None:
    """Print ``{"port": n, "pid": n}`` and serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with server as listening:
        sys.stdout.write(json.dumps({"port": listening.port, "pid": os.getpid()}) + "\n")
        sys.stdout.flush()
        await stop.wait()
