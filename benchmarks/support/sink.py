"""The smarthost of all contestants: takes everything at once, offers PIPELINING, counts the dots.

Of recipients that begin with ``marked`` the time of their arrival is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from support.counting import Counter, Counting, counting, run, serve

GREETING = b"220 sink ESMTP\r\n"
EHLO = b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 52428800\r\n"
OK = b"250 2.0.0 Ok\r\n"
REPLIES = {
    b"EHLO": EHLO,
    b"HELO": b"250 sink\r\n",
    b"DATA": b"354 End data with <CR><LF>.<CR><LF>\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}
DOT = b"\r\n.\r\n"
MARKED = b"RCPT TO:<MARKED"


class Session(asyncio.Protocol):
    """One connection; a message ends at CRLF dot CRLF and is forgotten there."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._buffer = bytearray()
        self._in_data = False
        self._over = False
        self._searched = 0  # bytes of the buffer known to hold no end of the message
        self._marked: list[str] = []
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(GREETING)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        replies = bytearray()
        while self._step(replies):
            pass
        if replies:
            self._transport.write(bytes(replies))
        if self._over:
            self._transport.close()

    def _step(self, replies: bytearray) -> bool:
        """One command or one message out of the buffer; False when it holds no whole one."""
        if self._in_data:
            end = self._buffer.find(DOT, self._searched)
            if end < 0:
                self._searched = max(len(self._buffer) - len(DOT) + 1, 0)
                return False
            del self._buffer[: end + len(DOT)]
            self._in_data = False
            self._arrived()
            replies += OK
            return True
        end = self._buffer.find(b"\n")
        if end < 0:
            return False
        line = bytes(self._buffer[:end]).upper()
        del self._buffer[: end + 1]
        replies += REPLIES.get(line[:4], OK)
        if line.startswith(b"DATA"):
            self._in_data, self._searched = True, 0
        elif line.startswith(b"QUIT"):
            self._over = True
        elif line.startswith(MARKED):
            self._marked.append(line[9 : line.index(b">")].decode().lower())
        return True

    def _arrived(self) -> None:
        for recipient in self._marked:
            self._counter.mark(recipient)
        self._marked.clear()
        self._counter.add(1)


@asynccontextmanager
async def sink() -> AsyncIterator[Counting]:
    """The sink in a process of its own while the block runs."""
    async with counting("support.sink") as running:
        yield running


async def main() -> None:
    counter = Counter()
    await serve(counter, lambda: Session(counter))


if __name__ == "__main__":
    run(main())
