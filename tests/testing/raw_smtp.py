"""An SMTP client without manners: it writes what it is told and shows what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

TIMEOUT = 5.0
MESSAGE = b"Message-ID: <m1@app.test>\r\nSubject: hello\r\n\r\nhow are you\r\n"


class RawClient:
    """One connection, written and read as bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def reply(self) -> bytes:
        """One whole reply; ``b""`` at the end of the connection."""
        lines = []
        async with asyncio.timeout(TIMEOUT):
            while line := await self.reader.readline():
                lines.append(line)
                if line[3:4] != b"-":
                    break
        return b"".join(lines)

    async def ask(self, line: str) -> int:
        """Send a command, return the code of its reply; 0 at the end of the connection."""
        self.write(line.encode() + b"\r\n")
        return int((await self.reply())[:3] or 0)

    async def hello(self) -> RawClient:
        assert (await self.reply()).startswith(b"220")
        assert await self.ask("EHLO client.test") == 250
        return self

    async def envelope(self, *recipients: str, sender: str = "app@app.test") -> int:
        """MAIL, RCPT..., DATA, one by one; the code of DATA."""
        assert await self.ask(f"MAIL FROM:<{sender}>") == 250
        for recipient in recipients:
            await self.ask(f"RCPT TO:<{recipient}>")
        return await self.ask("DATA")

    async def send(
        self, *recipients: str, sender: str = "app@app.test", data: bytes = MESSAGE
    ) -> int:
        """A whole transaction; the code of the dot, 0 at the end of the connection."""
        assert await self.envelope(*recipients, sender=sender) == 354
        self.write(data + b".\r\n")
        return int((await self.reply())[:3] or 0)

    async def silent(self, seconds: float = 0.15) -> bool:
        """Whether nothing comes for so long, not even the end of the connection."""
        try:
            async with asyncio.timeout(seconds):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def connect(port: int, *, hello: bool = True) -> AsyncIterator[RawClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = RawClient(reader, writer)
    try:
        yield await client.hello() if hello else client
    finally:
        writer.transport.abort()
