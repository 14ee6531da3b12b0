"""From starting the process to the first durable accept, and how long ``asyncmail --help`` takes."""

from __future__ import annotations

import asyncio
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from memory import NOWHERE, fill
from support import machine
from support.counting import run
from support.load import messages, requests
from support.rawhttp import connection
from support.service import service, spawn
from support.setup import options, working_folder
from support.table import render, spread, write_json

PATIENCE = 30.0
HELP = "asyncmail --help"


async def first_accept(config: Path, port: int, name: str) -> float:
    """Milliseconds until a message is accepted by a process that does not run yet."""
    [ready] = requests(messages(name, 1), 1)
    began = time.monotonic()
    process = await spawn(config)
    try:
        while True:
            try:
                async with connection(port) as http:
                    answer = await http.send(ready)
                break
            except OSError:
                if time.monotonic() - began > PATIENCE:
                    raise RuntimeError("the service does not start") from None
                await asyncio.sleep(0.001)
        taken = (time.monotonic() - began) * 1000
    finally:
        process.terminate()
        await process.wait()
    if b'"queued":1' not in answer:
        raise RuntimeError(f"not accepted: {answer.decode()}")
    return taken


async def help_text() -> float:
    """Milliseconds of ``asyncmail --help``."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "asyncmail", "--help", stdout=asyncio.subprocess.DEVNULL
    )
    if await process.wait() != 0:
        raise RuntimeError(f"{HELP} failed")
    return (time.monotonic() - began) * 1000


async def starts(folder: Path, queued: int, times: int) -> list[float]:
    """Starts on a queue of that length. Sending is suspended, so that every start finds the same."""
    async with service(folder, smarthost_port=NOWHERE, receiver_port=None) as prepared:
        await prepared.call("POST", "/commands/suspend")
        await fill(prepared, queued)
    config = folder / "asyncmail.toml"
    return [
        await first_accept(config, prepared.port, f"first-{queued}-{number}")
        for number in range(times)
    ]


async def benchmark(asked: Namespace, folder: Path) -> None:
    found = machine.facts(folder)
    taken: dict[str, list[float]] = {HELP: [await help_text() for _ in range(asked.times)]}
    for queued in (0, asked.queued):
        name = f"start to first durable accept, {queued:,} queued"
        taken[name] = await starts(folder / str(queued), queued, asked.times)
    rows = [[name, spread(values)] for name, values in taken.items()]
    print(render(["milliseconds, median and range", ""], rows))
    print()
    print("\n".join(machine.lines(found)))
    result: dict[str, Any] = {"benchmark": "start", **found, "milliseconds": taken}
    write_json(asked.json, result)


def main() -> None:
    parser = options("how fast the service starts")
    parser.add_argument("--queued", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=7)
    asked = parser.parse_args()
    with working_folder(asked.folder) as folder:
        run(benchmark(asked, folder))


if __name__ == "__main__":
    main()
