"""The load generator's HTTP: requests as ready bytes, one keep-alive connection, nothing in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


def request(method: str, path: str, body: Any = None) -> bytes:
    """A whole request; ``body`` goes as JSON."""
    content = b"" if body is None else json.dumps(body).encode()
    kind = b"" if body is None else b"Content-Type: application/json\r\n"
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode()
    return head + kind + b"Content-Length: %d\r\n\r\n" % len(content) + content


class Connection:
    """One keep-alive connection; a request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, ready: bytes) -> bytes:
        """The body of the answer; raises ``RuntimeError`` unless it is a 200."""
        self._writer.write(ready)
        head = await self._reader.readuntil(b"\r\n\r\n")
        body = await self._body(head.lower())
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"{head.decode()}{body.decode()}")
        return body

    async def _body(self, head: bytes) -> bytes:
        if b"content-length:" not in head:
            raise RuntimeError(f"no Content-Length in {head.decode()}")
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        return await self._reader.readexactly(length)

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request that is not part of the load."""
        return json.loads(await self.send(request(method, path, body)))


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[Connection]:
    """A connection to a service on loopback while the block runs."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
