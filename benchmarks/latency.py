"""How long one message takes: on an idle service, and as ``immediate`` behind many ``low`` ones."""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from support import machine
from support.counting import Counting, run
from support.load import messages, requests, send_all
from support.message import payload
from support.rawhttp import Connection, connection, request
from support.receiver import receiver
from support.service import Service, acknowledged, service
from support.setup import options, working_folder
from support.sink import sink
from support.table import percentile, render, write_json

WARM_UP = 20
REST = 0.1  # seconds between single messages, so that each meets an idle service
PACE = 0.02  # seconds between immediate messages

ACCEPTED = "accepted (durable, 200 received)"
ARRIVED = "arrived at the SMTP server"
REPORTED = "report answered by the receiver"
ACKNOWLEDGED = "acknowledgement visible in GET /messages/{id}"
OVERTAKING = "immediate, behind the backlog: arrived"


async def idle(http: Connection, to: Counting, reports: Counting, count: int) -> dict[str, Any]:
    """Milliseconds from the first byte of the request, for ``count`` single messages."""
    taken: dict[str, list[float]] = {
        name: [] for name in (ACCEPTED, ARRIVED, REPORTED, ACKNOWLEDGED)
    }
    for number in range(WARM_UP + count):
        name = f"idle-{number}"
        [ready] = requests([payload(name, "reader@example.net")], 1)
        await asyncio.sleep(REST)
        began = time.monotonic()
        await http.send(ready)
        accepted = time.monotonic()
        arrived, _ = await to.expect(1)
        reported, _ = await reports.expect(1)
        await acknowledged(http, name)
        moments = (accepted, arrived, reported, time.monotonic())
        if number >= WARM_UP:
            for values, moment in zip(taken.values(), moments, strict=True):
                values.append((moment - began) * 1000)
    return taken


async def overtaking(under_test: Service, to: Counting, backlog: int, count: int) -> list[float]:
    """Milliseconds to the wire for ``immediate`` messages while ``backlog`` low ones are being sent."""
    await under_test.call("POST", "/commands/suspend")
    low = requests(messages("low", backlog, priority="low"), 1000)
    await send_all(under_test.port, low, 2)
    ready = {
        f"marked{number}@example.net": request(
            "POST",
            "/commands/add-messages",
            {
                "messages": [
                    payload(f"now-{number}", f"marked{number}@example.net", priority="immediate")
                ]
            },
        )
        for number in range(count)
    }
    await under_test.call("POST", "/commands/activate")
    await asyncio.sleep(1.0)  # the backlog is being sent with all connections
    began: dict[str, float] = {}
    async with connection(under_test.port) as http:
        for recipient, data in ready.items():
            began[recipient] = time.monotonic()
            await http.send(data)
            await asyncio.sleep(PACE)
        if not await waiting(http):
            raise RuntimeError("the backlog was gone before the last one; take a larger one")
    await asyncio.sleep(1.0)
    arrived = await to.marked()
    missing = began.keys() - arrived.keys()
    if missing:
        raise RuntimeError(f"{len(missing)} immediate messages did not arrive")
    return [(arrived[recipient] - moment) * 1000 for recipient, moment in began.items()]


async def waiting(http: Connection) -> bool:
    """Whether any message is still queued."""
    page = await http.call("GET", "/messages?active_only=true&limit=1")
    return bool(page["messages"])


def table(taken: dict[str, Sequence[float]]) -> str:
    rows = [
        [name, *(f"{percentile(values, share):.1f}" for share in (0.5, 0.95, 1.0))]
        for name, values in taken.items()
    ]
    return render(["milliseconds after the request", "median", "p95", "max"], rows)


async def benchmark(asked: Namespace, folder: Path) -> None:
    found = machine.facts(folder)
    async with AsyncExitStack() as stack:
        to = await stack.enter_async_context(sink())
        reports = await stack.enter_async_context(receiver())
        under_test = await stack.enter_async_context(
            service(folder / "asyncmail", smarthost_port=to.port, receiver_port=reports.port)
        )
        async with connection(under_test.port) as http:
            taken = await idle(http, to, reports, asked.messages)
        taken[OVERTAKING] = await overtaking(under_test, to, asked.backlog, asked.messages)
    print(table(taken))
    print(f"\n{asked.messages} messages a row; backlog {asked.backlog:,}")
    print("\n".join(machine.lines(found)))
    write_json(asked.json, {"benchmark": "latency", **found, "milliseconds": taken})


def main() -> None:
    parser = options("latency of single messages")
    parser.add_argument("--messages", type=int, default=200, help="of each row")
    parser.add_argument("--backlog", type=int, default=100_000, help="low messages to overtake")
    asked = parser.parse_args()
    with working_folder(asked.folder) as folder:
        run(benchmark(asked, folder))


if __name__ == "__main__":
    main()
