"""What a guarded plugin call costs over a plain ``await``, in microseconds."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from support import machine
from support.counting import run
from support.message import understood
from support.setup import options, working_folder
from support.table import render, spread, write_json

from asyncmail import Extension
from asyncmail.clock import SystemClock
from asyncmail.model import Account, Message
from asyncmail.plugins.guard import VALIDATOR_DEADLINE, Guard, GuardedTask
from asyncmail.plugins.interfaces import Validator
from asyncmail.plugins.kinds import Kind, Loaded

PLAIN = "plain await of a validator"
IN_TASK = "guarded call within a task (validators, transport)"
CHAIN = "chain of three guarded validators, per message"
OWN_TASK = "guarded call in a task of its own (sinks, attachments)"


class Nothing(Validator):
    """A validator that likes everything, so that what is measured is the way to it."""

    async def validate(self, message: Message, account: Account) -> None:
        return None


def _ignore(loaded: Loaded[Extension], cause: str) -> None:
    raise RuntimeError(f"{loaded}: {cause}")


async def measure(count: int) -> dict[str, float]:
    """Microseconds of each way, over ``count`` calls."""
    guard = Guard(SystemClock(), on_failure=_ignore)
    chain = [Loaded(Kind.VALIDATOR, f"nothing{n}", "asyncmail", "1", Nothing()) for n in range(3)]
    message, account = understood(), Account("bench")

    def calling(loaded: Loaded[Validator]) -> Callable[[], Awaitable[Any]]:
        return lambda: loaded.extension.validate(message, account)

    async def plain(_: GuardedTask[float]) -> float:
        began = time.perf_counter()
        for _number in range(count):
            await calling(chain[0])()
        return time.perf_counter() - began

    async def in_task(task: GuardedTask[float], validators: int = 1) -> float:
        began = time.perf_counter()
        for _number in range(count):
            for loaded in chain[:validators]:
                await task.call(loaded, calling(loaded), deadline=VALIDATOR_DEADLINE)
        return time.perf_counter() - began

    async def in_own_tasks() -> float:
        began = time.perf_counter()
        for _number in range(count):
            await guard.call(chain[0], calling(chain[0]), deadline=VALIDATOR_DEADLINE)
        return time.perf_counter() - began

    seconds = {
        PLAIN: await guard.start(plain).future,
        IN_TASK: await guard.start(in_task).future,
        CHAIN: await guard.start(lambda task: in_task(task, len(chain))).future,
        OWN_TASK: await in_own_tasks(),
    }
    return {name: taken / count * 1e6 for name, taken in seconds.items()}


async def benchmark(asked: Namespace, folder: Path) -> None:
    found = machine.facts(folder)
    rounds = [await measure(asked.calls) for _ in range(asked.rounds)]
    taken = {name: [one[name] for one in rounds] for name in rounds[0]}
    rows = [[name, spread(values, 2)] for name, values in taken.items()]
    print(render(["", "microseconds, median and range"], rows))
    print()
    print("\n".join(machine.lines(found)))
    write_json(asked.json, {"benchmark": "guard", **found, "microseconds": taken})


def main() -> None:
    parser = options("what the guard costs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20_000)
    asked = parser.parse_args()
    with working_folder(asked.folder) as folder:
        run(benchmark(asked, folder))


if __name__ == "__main__":
    main()
