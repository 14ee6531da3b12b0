"""How much of one account's, sink's or extension's trouble the mail of nine other accounts notices."""

from __future__ import annotations

import asyncio
import signal
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from support import machine
from support.counting import Counting, run
from support.message import payload
from support.rawhttp import connection, request
from support.service import Service, configure, running
from support.setup import options, working_folder
from support.sink import sink
from support.table import percentile, render, spread, write_json
from support.trouble import install

from asyncmail.testing.real_service import helper, helper_process

OTHERS = 9  # accounts without trouble
BACKLOG = 300  # messages that are always due for the account in trouble
SETTLE = 1.0  # seconds from the trouble's beginning to the first message that counts
WARM_UP = 50
PACE = 0.01  # seconds between messages
QUARANTINE_SECONDS = 30.0
RECOVERY_SECONDS = 60.0
SLOW = ".".join(f"{verb}.sleep2000" for verb in ("ehlo", "mail", "rcpt", "data"))
TARPIT = f"{SLOW}.dot.accept.sleep2000"

PLUGINS = """
[plugins]
transports = ["smtp", "stuck"]
"""


@dataclass(frozen=True)
class Place:
    """Everything around one service."""

    service: Service
    to: Counting
    receiver: asyncio.subprocess.Process
    tarpit: int  # its port
    flag: Path


@asynccontextmanager
async def place(folder: Path, more: str = PLUGINS) -> AsyncIterator[Place]:
    """A fresh service with nine accounts that lead to the sink, warmed up."""
    async with AsyncExitStack() as stack:
        to = await stack.enter_async_context(sink())
        arguments = ("asyncmail.testing.faultsmtp", "--script", TARPIT)
        tarpit = await stack.enter_async_context(helper(*arguments))
        receiver, port = await stack.enter_async_context(
            helper_process("asyncmail.testing.receiver")
        )
        flag = install(folder / "packages")
        config = configure(folder, port, more)
        service = await stack.enter_async_context(running(*config, folder / "packages"))
        for number in range(OTHERS):
            await account(service, f"other{number}", to.port)
        made = Place(service, to, receiver, tarpit, flag)
        await latencies(made, WARM_UP, "warm")
        yield made


async def account(service: Service, id: str, port: int, **more: Any) -> None:
    """Set up an account on loopback without TLS."""
    leads_to = {"host": "127.0.0.1", "port": port, "tls": "none"}
    await service.call("POST", "/account", {"id": id, **leads_to, **more})


async def latencies(at: Place, count: int, name: str) -> list[float]:
    """Milliseconds from the 200 to the arrival of messages of the nine accounts, by turns."""
    accepted: dict[str, float] = {}
    async with connection(at.service.port) as http:
        for number in range(count):
            recipient = f"marked-{name}-{number}@example.net"
            one = payload(f"{name}-{number}", recipient, account_id=f"other{number % OTHERS}")
            await http.send(request("POST", "/commands/add-messages", {"messages": [one]}))
            accepted[recipient] = time.monotonic()
            await asyncio.sleep(PACE)
    await at.to.expect(count)
    arrived = await at.to.marked()
    # It may be there before the answer is: then it took no time.
    return [max(arrived[one] - moment, 0.0) * 1000 for one, moment in accepted.items()]


# --- trouble that goes on ------------------------------------------------------------------------


async def backlog(at: Place) -> None:
    """Mail for the account in trouble."""
    mails = [payload(f"t{n}", f"t{n}@example.net", account_id="trouble") for n in range(BACKLOG)]
    await at.service.call("POST", "/commands/add-messages", {"messages": mails})


async def tarpit(at: Place) -> None:
    await account(at.service, "trouble", at.tarpit)
    await backlog(at)


async def stuck_transport(at: Place) -> None:
    await account(at.service, "trouble", 9, transport="stuck")
    await backlog(at)


async def stuck_sink(at: Place) -> None:
    at.receiver.send_signal(signal.SIGSTOP)


async def none(at: Place) -> None:
    """For comparison."""


TROUBLES: dict[str, Callable[[Place], Awaitable[None]]] = {
    "an account's transport hangs": stuck_transport,
    "the sink of reports hangs": stuck_sink,
    "an account's server is a tarpit (2 s a reply)": tarpit,
}


async def beside(folder: Path, count: int, trouble: Callable[[Place], Awaitable[None]]) -> float:
    """The p95 of the other accounts' mail while there is this trouble."""
    async with place(folder) as at:
        await trouble(at)
        await asyncio.sleep(SETTLE)
        return percentile(await latencies(at, count, "counted"), 0.95)


# --- trouble that ends in quarantine -------------------------------------------------------------


async def through_quarantine(folder: Path, count: int, kind: str) -> dict[str, float]:
    """The p95 before an extension of all mail hangs, and after; how long until it is left alone."""
    builtin = '"addresses", ' if kind == "validator" else ""
    more = f'[plugins]\n{kind}s = [{builtin}"hesitant"]\n'
    up = f'asyncmail_plugin_up{{kind="{kind}",plugin="hesitant"}}'.encode()
    async with place(folder, more) as at, helper("asyncmail.testing.faultsmtp") as spare:
        await account(at.service, "trickle", spare)
        before = percentile(await latencies(at, count, "before"), 0.95)
        at.flag.touch()
        began = time.monotonic()
        async with trickle(at.service.port):
            await metric(at.service, up + b" 0", QUARANTINE_SECONDS)
            quarantined = time.monotonic() - began
            at.flag.unlink()
            await metric(at.service, up + b" 1", RECOVERY_SECONDS)
        await asyncio.sleep(SETTLE)
        after = percentile(await latencies(at, count, "after"), 0.95)
    return {"before": before, "quarantined": quarantined, "after": after}


@asynccontextmanager
async def trickle(port: int) -> AsyncIterator[None]:
    """Requests all the time, whatever becomes of them."""

    async def ask(client: int) -> None:
        number = 0
        while True:
            number += 1
            one = payload(f"trickle-{client}-{number}", "t@example.net", account_id="trickle")
            try:
                async with connection(port) as http:
                    await http.send(request("POST", "/commands/add-messages", {"messages": [one]}))
            except RuntimeError:
                pass  # 503: the validator did not answer, or is left alone
            await asyncio.sleep(0.1)

    asking = [asyncio.create_task(ask(client)) for client in range(8)]
    try:
        yield
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def metric(service: Service, line: bytes, seconds: float) -> None:
    """Wait until /metrics has a line."""
    async with connection(service.port) as http, asyncio.timeout(seconds):
        while True:
            if line in await http.send(request("GET", "/metrics")):
                return
            await asyncio.sleep(0.05)


# --- all of it -----------------------------------------------------------------------------------


async def benchmark(asked: Namespace, folder: Path) -> None:
    found = machine.facts(folder)
    result: dict[str, Any] = {}
    rows = []
    for name, trouble in TROUBLES.items():
        without: list[float] = []
        with_it: list[float] = []
        for number in range(asked.rounds):
            pair = [(without, none), (with_it, trouble)]
            for place_number, (values, what) in enumerate(pair if number % 2 else pair[::-1]):
                inside = folder / f"{len(result)}-{number}-{place_number}"
                values.append(await beside(inside, asked.messages, what))
        ratio = median(with_it) / median(without)
        result[name] = {"without": without, "with": with_it, "ratio": ratio}
        rows.append([name, spread(without, 1), spread(with_it, 1), f"{ratio:.2f}"])
    head = ["p95 of nine other accounts, ms: median and range", "without", "with", "ratio"]
    print(render(head, rows))
    rows = []
    for kind in ("validator", "filter"):
        one = await through_quarantine(folder / kind, asked.messages, kind)
        one["ratio"] = one["after"] / one["before"]
        result[f"a {kind} of all mail hangs"] = one
        figures = (f"{one[key]:.1f}" for key in ("before", "quarantined", "after"))
        rows.append([f"a {kind} of all mail hangs", *figures, f"{one['ratio']:.2f}"])
    head = ["", "p95 before, ms", "quarantined after, s", "p95 afterwards, ms", "ratio"]
    print("\n" + render(head, rows))
    print(f"\n{asked.messages} messages a round, {asked.rounds} rounds; {machine.load_now()}")
    print("\n".join(machine.lines(found)))
    write_json(asked.json, {"benchmark": "isolation", **found, "isolation": result})


def main() -> None:
    parser = options("what others notice of one account's, sink's or extension's trouble")
    parser.add_argument("--messages", type=int, default=300, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with working_folder(asked.folder) as folder:
        run(benchmark(asked, folder))


if __name__ == "__main__":
    main()
