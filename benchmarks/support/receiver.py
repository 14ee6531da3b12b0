"""The application that gets the reports: acknowledges every POST and counts the entries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from support.counting import Counter, Counting, counting, run, serve


class Session(asyncio.Protocol):
    """One connection of a client that sends Content-Length, as the service does."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._buffer = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (body := self._next_body()) is not None:
            self._answer(json.loads(body)["delivery_report"])

    def _next_body(self) -> bytes | None:
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return None
        head = bytes(self._buffer[:head_end]).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        end = head_end + 4 + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[head_end + 4 : end])
        del self._buffer[:end]
        return body

    def _answer(self, reports: list[dict[str, object]]) -> None:
        sent = sum(report["sent_ts"] is not None for report in reports)
        body = json.dumps({"sent": sent, "error": len(reports) - sent, "deferred": 0}).encode()
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        if reports:
            self._counter.add(sent, str(reports[-1]["id"]))


@asynccontextmanager
async def receiver() -> AsyncIterator[Counting]:
    """The receiver in a process of its own while the block runs."""
    async with counting("support.receiver") as running:
        yield running


async def main() -> None:
    counter = Counter()
    await serve(counter, lambda: Session(counter))


if __name__ == "__main__":
    run(main())
