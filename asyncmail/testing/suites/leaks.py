"""What an extension may leave behind: tasks, threads and descriptors, counted before and after."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SETTLE_SECONDS = 2.0  # for peers to notice, and for threads to end
_POOLS = ("asyncio_", "AnyIO worker thread")  # of the event loop, which keeps them


@dataclass(frozen=True)
class Holdings:
    """What the process holds at one moment."""

    tasks: frozenset[asyncio.Task[Any]]
    threads: frozenset[threading.Thread]
    descriptors: frozenset[tuple[int, str]]

    @classmethod
    def now(cls) -> Holdings:
        threads = (t for t in threading.enumerate() if not t.name.startswith(_POOLS))
        return cls(frozenset(asyncio.all_tasks()), frozenset(threads), _descriptors())

    def beyond(self, before: Holdings) -> list[str]:
        """What is here and was not there, in words."""
        tasks = (f"task {task.get_coro()!r}" for task in self.tasks - before.tasks)
        threads = (f"thread '{thread.name}'" for thread in self.threads - before.threads)
        new = self.descriptors - before.descriptors
        descriptors = (f"descriptor {number} ({target})" for number, target in sorted(new))
        return [*tasks, *threads, *descriptors]


async def left_since(before: Holdings) -> list[str]:
    """What there is more than before, once things have had time to settle."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SETTLE_SECONDS
    left = Holdings.now().beyond(before)
    while left and loop.time() < deadline:  # nobody tells when a descriptor closes
        await asyncio.sleep(0.02)
        left = Holdings.now().beyond(before)
    return left


def _descriptors() -> frozenset[tuple[int, str]]:
    """Number and target of each open descriptor; nothing where the system does not tell."""
    found = set()
    folder = Path("/proc/self/fd")
    for name in os.listdir(folder) if folder.is_dir() else ():
        try:
            found.add((int(name), os.readlink(folder / name)))
        except OSError:  # the one with which we were reading
            continue
    return frozenset(found)
