"""The load: requests prepared before the clock starts, sent over a number of connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from support.message import payload
from support.rawhttp import connection, request


def messages(name: str, count: int, **more: Any) -> list[dict[str, Any]]:
    """``count`` payloads with ids and recipients of their own."""
    return [payload(f"{name}-{n}", f"reader{n}@example.net", **more) for n in range(count)]


def requests(payloads: Sequence[dict[str, Any]], batch: int) -> list[bytes]:
    """add-messages requests of ``batch`` messages each."""
    return [
        request("POST", "/commands/add-messages", {"messages": payloads[start : start + batch]})
        for start in range(0, len(payloads), batch)
    ]


async def send_all(port: int, ready: Iterable[bytes], connections: int) -> int:
    """Send every request, ``connections`` at a time; how many messages were queued."""
    waiting = iter(ready)
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(connection(port)) for _ in range(connections)]

        async def work(number: int) -> int:
            answers = [await opened[number].send(data) for data in waiting]
            return sum(json.loads(answer)["queued"] for answer in answers)

        return sum(await asyncio.gather(*map(work, range(connections))))
