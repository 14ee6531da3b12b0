"""What every finished message has in common: CRLF ends its lines, and none is too long."""

from __future__ import annotations

MAX_LINE = 998  # octets, without the line end (RFC 5322 2.1.1)


def content_refusal(data: bytes) -> str | None:
    """Why these bytes must not be sent, or nothing. Only CRLF ends a line: anything else lets a
    server see other messages."""
    ends = data.count(b"\r\n")
    if data.count(b"\n") != ends or data.count(b"\r") != ends:
        return "the message contains a bare CR or LF"
    start, size = 0, len(data)
    while size - start > MAX_LINE:
        end = data.rfind(b"\n", start, start + MAX_LINE + 2)
        if end < 0:
            return f"the message contains a line of more than {MAX_LINE} octets"
        start = end + 1
    return None
