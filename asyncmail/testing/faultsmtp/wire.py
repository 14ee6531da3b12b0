"""The way out of one connection: gathered replies, single bytes, and the ways to end it."""

from __future__ import annotations

import asyncio
import socket
import struct


class Wire:
    """Writes to a transport; replies wait for ``flush``, so that a pipelined group is one segment."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport  # replaced when TLS begins
        self._out: list[bytes] = []

    def say(self, data: bytes) -> None:
        self._out.append(data)

    def flush(self) -> None:
        if self._out:
            self.transport.write(b"".join(self._out))
            self._out.clear()

    async def drip(self, data: bytes, seconds: float) -> None:
        """Send one byte every so many seconds."""
        self.flush()
        for byte in data:
            self.transport.write(bytes([byte]))
            await asyncio.sleep(seconds)

    async def drip_endlessly(self, seconds: float) -> None:
        """A reply that always goes on and never comes to an end; ends with the connection."""
        while True:
            await self.drip(b"250-not yet\r\n", seconds)

    def drop(self) -> None:
        """Close after what has been said."""
        self.flush()
        self.transport.close()

    def reset(self) -> None:
        """Send what has been said, then RST instead of FIN."""
        self.flush()
        linger = struct.pack("ii", 1, 0)
        self.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger
        )
        self.transport.abort()

    def stall(self) -> None:
        """Stop reading; the peer's window closes once the buffers are full."""
        self.flush()
        self.transport.pause_reading()

    @property
    def tls_version(self) -> str:
        """Such as ``TLSv1.3``; ``""`` in clear."""
        tls = self.transport.get_extra_info("ssl_object")
        return str(tls.version()) if tls is not None else ""
