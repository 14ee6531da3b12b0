"""The bare loop: aiosmtplib, reused connections, bytes that are ready, and nothing else.

As a program: ``plain_loop.py PORT MESSAGES CONNECTIONS FILE``; prints its CPU seconds as JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import aiosmtplib


@dataclass(frozen=True)
class Done:
    """When the first message was begun and the last one taken, on the machine's monotonic clock."""

    began: float
    ended: float
    cpu_seconds: float


async def plain_loop(port: int, messages: int, connections: int, message: Path) -> Done:
    """The loop in a process of its own; starting it is not counted."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        *map(str, (port, messages, connections, message)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return Done(**json.loads(output))


async def main(port: int, messages: int, connections: int, data: bytes) -> None:
    clients = [
        aiosmtplib.SMTP(hostname="127.0.0.1", port=port, use_tls=False, start_tls=False)
        for _ in range(connections)
    ]
    await asyncio.gather(*(client.connect() for client in clients))
    numbers = iter(range(messages))

    async def send(client: aiosmtplib.SMTP) -> None:
        for number in numbers:
            await client.sendmail("sender@example.com", [f"reader{number}@example.net"], data)

    began, cpu = time.monotonic(), _cpu()
    await asyncio.gather(*map(send, clients))
    ended = time.monotonic()
    print(json.dumps({"began": began, "ended": ended, "cpu_seconds": _cpu() - cpu}))
    await asyncio.gather(*(client.quit() for client in clients))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(*map(int, sys.argv[1:4]), Path(sys.argv[4]).read_bytes()))
