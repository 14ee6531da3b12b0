"""End to end, side by side: Postfix as a relay, asyncmail in batches and one by one, a bare loop.

Every contestant moves the same message to the same SMTP sink, in interleaved rounds. Only ratios within
one run mean anything: the absolute figures are the machine's mood.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from support import machine, message
from support.counting import Counting, run
from support.load import messages, requests, send_all
from support.plain_loop import plain_loop
from support.postfix import Postfix, missing, postfix, smtp_source
from support.processes import cpu_seconds, waited_seconds
from support.rawhttp import connection
from support.receiver import receiver
from support.service import Service, acknowledged, service
from support.setup import options, working_folder
from support.sink import sink
from support.table import render, spread, write_json

SESSIONS = 10  # of smtp-source and of the bare loop; asyncmail's default is 10 connections as well
WARM_UP = 500

POSTFIX = "Postfix relay, 10 sessions"
BATCHES = "asyncmail, batches of 100, 4 connections"
SINGLE = "asyncmail, one message a request, 16 connections"
BARE = "bare aiosmtplib loop, 10 connections (no queue)"


@dataclass
class Run:
    """One contestant in one round. ``steps``: seconds until a stage was complete.

    ``waited``: seconds that the service's main thread was ready to run and had no core; ``None`` of
    contestants that are not one process.
    """

    messages: int
    seconds: float
    cpu_seconds: float
    steps: dict[str, float] = field(default_factory=dict)
    waited: float | None = None

    @property
    def rate(self) -> float:
        return self.messages / self.seconds


Contestant = Callable[[str, int], Awaitable[Run]]


def through_postfix(relay: Postfix, to: Counting, file: Path) -> Contestant:
    """Accepted over SMTP one by one, until the sink has all of them."""

    async def contest(name: str, count: int) -> Run:
        cpu, began = cpu_seconds(relay.pid), time.monotonic()
        await smtp_source(relay.port, count, SESSIONS, file)
        accepted = time.monotonic()
        ended, _ = await to.expect(count)
        spent = cpu_seconds(relay.pid) - cpu
        return Run(count, ended - began, spent, {"accepted": accepted - began})

    return contest


def through_asyncmail(
    under_test: Service, to: Counting, reports: Counting, *, batch: int, connections: int
) -> Contestant:
    """Accepted over HTTP, delivered, reported, and the acknowledgement of the last report committed."""

    async def contest(name: str, count: int) -> Run:
        ready = requests(messages(name, count), batch)
        cpu, waited = cpu_seconds(under_test.pid), waited_seconds(under_test.pid)
        began = time.monotonic()
        queued = await send_all(under_test.port, ready, connections)
        if queued != count:
            raise RuntimeError(f"{queued} of {count} messages were queued")
        accepted = time.monotonic()
        delivered, _ = await to.expect(count)
        reported, last = await reports.expect(count)
        async with connection(under_test.port) as http:
            await acknowledged(http, str(last))
        ended = time.monotonic()
        steps = {"accepted": accepted, "delivered": delivered, "reported": reported}
        return Run(
            count,
            ended - began,
            cpu_seconds(under_test.pid) - cpu,
            {step: moment - began for step, moment in steps.items()},
            waited_seconds(under_test.pid) - waited,
        )

    return contest


def through_bare_loop(to: Counting, file: Path) -> Contestant:
    """Ready bytes over reused connections: no queue, no promise."""

    async def contest(name: str, count: int) -> Run:
        done = await plain_loop(to.port, count, SESSIONS, file)
        await to.expect(count)
        return Run(count, done.ended - done.began, done.cpu_seconds)

    return contest


async def sink_limit(to: Counting, file: Path, count: int) -> float:
    """Messages a second that the sink takes from ``smtp-source`` directly."""
    began = time.monotonic()
    await smtp_source(to.port, count, SESSIONS, file)
    ended, _ = await to.expect(count)
    return count / (ended - began)


async def compete(
    contestants: dict[str, Contestant], rounds: int, count: int
) -> dict[str, list[Run]]:
    """Interleaved rounds; each begins with another contestant."""
    results: dict[str, list[Run]] = {name: [] for name in contestants}
    names = list(contestants)
    for name in names:
        await contestants[name](f"warm-up-{names.index(name)}", WARM_UP)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            done = await contestants[name](f"{number}-{names.index(name)}", count)
            results[name].append(done)
            print(f"round {number + 1}: {done.rate:7,.0f}/s  {name}", flush=True)
    return results


def ratios(results: dict[str, list[Run]], name: str, base: str) -> list[float]:
    """How many times faster than ``base``, round by round."""
    return [a.rate / b.rate for a, b in zip(results[name], results.get(base, []), strict=False)]


def table(results: dict[str, list[Run]]) -> str:
    """Medians and ranges, and what they are against each other."""
    rows = []
    for name, runs in results.items():
        against = [ratios(results, name, base) for base in (POSTFIX, BARE)]
        cpu = [run.cpu_seconds / run.messages * 1000 for run in runs]
        waited = [run.waited / run.seconds for run in runs if run.waited is not None]
        rows.append(
            [
                name,
                spread([run.rate for run in runs]),
                *(spread(values, 2) if values else "-" for values in against),
                f"{median(cpu):.2f}",
                spread([100 * w for w in waited]) if waited else "-",
            ]
        )
    head = ["", "messages/s", "x Postfix", "x bare loop", "CPU s / 1,000", "% without a core"]
    return render(head, rows)


async def benchmark(asked: Namespace, folder: Path) -> None:
    found = machine.facts(folder)
    wire, lines = message.write_files(folder)
    no_postfix = missing()
    result: dict[str, Any] = {"benchmark": "end_to_end", **found, "messages": asked.messages}
    async with AsyncExitStack() as stack:
        to = await stack.enter_async_context(sink())
        reports = await stack.enter_async_context(receiver())
        under_test = await stack.enter_async_context(
            service(folder / "asyncmail", smarthost_port=to.port, receiver_port=reports.port)
        )
        contestants: dict[str, Contestant] = {}
        if no_postfix is None:
            limit = await sink_limit(to, lines, asked.messages)
            print(f"the sink alone takes {limit:,.0f} messages/s from smtp-source")
            relay = await stack.enter_async_context(postfix(folder / "postfix", to.port))
            contestants[POSTFIX] = through_postfix(relay, to, lines)
            result |= {"sink_limit": limit, "postfix_settings": relay.settings()}
        else:
            print(f"without Postfix: {no_postfix}")
        contestants |= {
            BATCHES: through_asyncmail(under_test, to, reports, batch=100, connections=4),
            SINGLE: through_asyncmail(under_test, to, reports, batch=1, connections=16),
            BARE: through_bare_loop(to, wire),
        }
        results = await compete(contestants, asked.rounds, asked.messages)
    result["runs"] = {name: [asdict(run) for run in runs] for name, runs in results.items()}
    result["median_ratio_to_postfix"] = {
        name: median(values) for name in results if (values := ratios(results, name, POSTFIX))
    }
    print(f"\n{table(results)}\n")
    print("\n".join([*machine.lines(found), machine.load_now()]))
    write_json(asked.json, result)


def main() -> None:
    parser = options("asyncmail and its opponents, end to end and side by side")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=10_000, help="of each contestant and round")
    asked = parser.parse_args()
    with working_folder(asked.folder) as folder:
        run(benchmark(asked, folder))


if __name__ == "__main__":
    main()
