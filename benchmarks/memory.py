"""Resident memory of the service: idle, with a queue, and while somebody pages through all of it."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from support import machine
from support.counting import run
from support.load import messages, requests, send_all
from support.processes import peak_mib, reset_peak, resident_mib
from support.rawhttp import connection
from support.service import Service, service
from support.setup import options, working_folder
from support.table import render, write_json

SETTLE = 2.0  # seconds of rest before an idle measurement
BATCH = 1000  # messages a request, the most there may be
NOWHERE = 9  # a port of a smarthost that is never called, because sending is suspended


@dataclass(frozen=True)
class Measured:
    """Resident memory in MiB at the end of a phase, and its peak within it."""

    phase: str
    resident: float
    peak: float


async def fill(under_test: Service, count: int) -> None:
    """Queue ``count`` messages, in pieces, so that the load itself stays small."""
    piece = 10_000
    for start in range(0, count, piece):
        some = messages(f"queued-{start}", min(piece, count - start))
        await send_all(under_test.port, requests(some, BATCH), 2)


async def page_through(under_test: Service) -> int:
    """GET /messages from the first page to the last; how many messages were shown."""
    shown, path = 0, "/messages"
    async with connection(under_test.port) as http:
        while True:
            page = await http.call("GET", path)
            shown += len(page["messages"])
            if page.get("next_cursor") is None:
                return shown
            path = f"/messages?cursor={page['next_cursor']}"


async def benchmark(asked: Namespace, folder: Path) -> None:
    found = machine.facts(folder)
    measured: list[Measured] = []
    async with AsyncExitStack() as stack:
        under_test = await stack.enter_async_context(
            service(folder / "asyncmail", smarthost_port=NOWHERE, receiver_port=None)
        )
        await under_test.call("POST", "/commands/suspend")

        async def note(phase: str) -> None:
            await asyncio.sleep(SETTLE)
            pid = under_test.pid
            measured.append(Measured(phase, resident_mib(pid), peak_mib(pid)))
            reset_peak(pid)

        await note("idle, nothing queued")
        await fill(under_test, asked.queued)
        await note(f"{asked.queued:,} queued")
        shown = await page_through(under_test)
        if shown != asked.queued:
            raise RuntimeError(f"{shown} of {asked.queued} messages were shown")
        await note(f"GET /messages over all {asked.queued:,}")
    idle = measured[0].resident
    rows = [
        [m.phase, f"{m.resident:.1f}", f"{m.resident - idle:+.1f}", f"{m.peak:.1f}"]
        for m in measured
    ]
    print(render(["MiB resident", "after", "against idle", "peak in it"], rows))
    print()
    print("\n".join(machine.lines(found)))
    result = {"benchmark": "memory", **found, "phases": [asdict(m) for m in measured]}
    write_json(asked.json, result)


def main() -> None:
    parser = options("resident memory of the service")
    parser.add_argument("--queued", type=int, default=100_000)
    asked = parser.parse_args()
    with working_folder(asked.folder) as folder:
        run(benchmark(asked, folder))


if __name__ == "__main__":
    main()
