"""What a client may not do: the rules of strict mode that look at a finished message, and the finding."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_LINE = 998  # octets without CRLF (RFC 5321 4.5.3.1.6)

LAST_IN_GROUP = frozenset(
    {"EHLO", "HELO", "DATA", "VRFY", "EXPN", "TURN", "QUIT", "NOOP", "STARTTLS", "AUTH"}
)
"""Commands whose reply must be awaited even with PIPELINING (RFC 2920 3.1, RFC 3207, RFC 4954)."""

_BCC = re.compile(rb"^(?:resent-)?bcc[ \t]*:", re.IGNORECASE | re.MULTILINE)
_UNSTUFFED = re.compile(rb"(?:\A|\r\n)\.(?!\.)")


@dataclass(frozen=True, slots=True)
class Violation:
    """A client broke a rule.

    ``rule`` is one of ``bare-newline``, ``line-too-long``, ``dot-stuffing``, ``pipelining``, ``no-ehlo``,
    ``auth-in-clear``, ``after-421``, ``bcc-header``, ``8bit``, ``syntax``, ``script``.
    """

    connection: int
    rule: str
    detail: str


def faults_on_the_wire(stuffed: bytes) -> Iterator[tuple[str, str]]:
    """Yield (rule, detail) of message data as it came, dot-stuffed, without the final dot."""
    newlines = stuffed.count(b"\r\n")
    if stuffed.count(b"\n") != newlines or stuffed.count(b"\r") != newlines:
        yield "bare-newline", "in the message data"
    if (found := _UNSTUFFED.search(stuffed)) is not None:
        yield "dot-stuffing", f"a line begins with a single dot at offset {found.start()}"


def faults_in_message(data: bytes, *, eight_bit: bool) -> Iterator[tuple[str, str]]:
    """Yield (rule, detail) of a message without dot-stuffing; ``eight_bit``: declared at MAIL."""
    longest = max(map(len, data.split(b"\r\n")))
    if longest > MAX_LINE:
        yield "line-too-long", f"{longest} octets in the message data"
    if _BCC.search(header_of(data)):
        yield "bcc-header", "the message shows its blind recipients"
    if not eight_bit and not data.isascii():
        yield "8bit", "octets above 127 without BODY=8BITMIME or SMTPUTF8"


def header_of(data: bytes) -> bytes:
    """The header section of a message."""
    return data.partition(b"\r\n\r\n")[0]
