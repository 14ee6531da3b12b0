"""What a client has sent and nobody has read yet, cut into command lines and message data."""

from __future__ import annotations


class Inbox:
    """Bytes of one connection. Only CRLF.CRLF ends message data (RFC 5321 4.1.1.4)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0  # bytes known not to hold the end of the message data

    def __len__(self) -> int:
        return len(self._buffer)

    def add(self, data: bytes) -> None:
        self._buffer += data

    def clear(self) -> None:
        self._buffer.clear()

    @property
    def rest(self) -> bytearray:
        """What lies behind the last line taken; to look at, not to change."""
        return self._buffer

    def take_line(self) -> bytes | None:
        """The next line with its newline, or ``None`` while it is not complete."""
        end = self._buffer.find(b"\n") + 1
        return self._take(end) if end else None

    def take_body(self) -> bytes | None:
        """Message data, dot-stuffed as it came, without the final dot; ``None`` while incomplete."""
        if self._buffer.startswith(b".\r\n"):
            self._take(3)
            return b""
        at = self._buffer.find(b"\r\n.\r\n", max(0, self._scanned - 4))
        if at < 0:
            self._scanned = len(self._buffer)
            return None
        self._scanned = 0
        return self._take(at + 5)[:-3]

    def _take(self, length: int) -> bytes:
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken
