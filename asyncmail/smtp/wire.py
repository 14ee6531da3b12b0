"""A message and its envelope as bytes for the wire: what may be sent at all, and in which form."""

from __future__ import annotations

import re

from asyncmail.mime.lines import content_refusal
from asyncmail.model import Envelope
from asyncmail.outcome import clean

DOT = b".\r\n"

# A mailbox of RFC 5321 4.1.2, wide enough for RFC 6531: nothing that could end the path or the line.
_MAILBOX = re.compile(
    r'(?:"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*"|[^\s<>"\x00-\x1f\x7f]+)@[^\s<>"\x00-\x1f\x7f]+'
)


def is_mailbox(address: str) -> bool:
    """Whether an address can stand between the angle brackets of a command, and does no more."""
    return _MAILBOX.fullmatch(address) is not None


def refusal(envelope: Envelope) -> str | None:
    """Why this envelope must not be put on any wire, or nothing; recipients are looked at one by one."""
    if envelope.sender and not is_mailbox(envelope.sender):
        return f"the sender is no mailbox: {clean(envelope.sender)}"
    return content_refusal(envelope.data)


def dotted(data: bytes) -> bytes:
    """The message as it follows DATA, with the final dot (RFC 5321 4.5.2)."""
    if data.startswith(b"."):
        data = b"." + data
    if b"\r\n." in data:
        data = data.replace(b"\r\n.", b"\r\n..")
    return data + DOT if not data or data.endswith(b"\r\n") else data + b"\r\n" + DOT


def header(data: bytes) -> bytes:
    """The header section: all before the first empty line (RFC 5322 2.1)."""
    end = data.find(b"\r\n\r\n")
    return data if end < 0 else data[:end]


def mail(sender: str, size: int | None, *, eight_bit: bool, utf8: bool) -> bytes:
    """The MAIL command; ``size`` only for a server that offers SIZE (RFC 1870)."""
    command = f"MAIL FROM:<{sender}>"
    if size is not None:
        command += f" SIZE={size}"
    if eight_bit:
        command += " BODY=8BITMIME"
    if utf8:
        command += " SMTPUTF8"
    return command.encode() + b"\r\n"


def rcpt(recipient: str) -> bytes:
    return f"RCPT TO:<{recipient}>\r\n".encode()
