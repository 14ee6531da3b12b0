"""Messages that the application composed itself: checked and finished, otherwise left as they are."""

from __future__ import annotations

import re

from asyncmail.mime import words
from asyncmail.mime.headers import MAX_LINE, date
from asyncmail.model import Message

_is_field = re.compile(rb"([!-9;-~]{1,76}):[\t -~]*(?:\n[\t ]+[!-~][\t -~]*)*").fullmatch
_FIELD_START = re.compile(rb"\n(?![\t ])")
_HIDDEN = (b"bcc", b"resent-bcc")
_ONCE = (  # RFC 5322 3.6 and RFC 2045 3
    *(b"date", b"from", b"sender", b"reply-to", b"to", b"cc", b"message-id", b"subject"),
    *(b"mime-version", b"content-type", b"content-transfer-encoding"),
)


def clean(data: bytes) -> bytes:
    """The message with CRLF line ends and without Bcc.

    The header must be ASCII and end all its lines alike: a line end of another kind is what an
    injected one looks like. Raises ``ValueError`` with what is wrong.
    """
    head, body = _split(data)
    fields = _fields(head)
    for name in _ONCE:
        if sum(field_name == name for field_name, _ in fields) > 1:
            raise ValueError(f"more than one {name.decode().title()} header")
    if not any(name == b"from" for name, _ in fields):
        raise ValueError("no From header")
    if (b"message-id", b"") in [(name, field[11:].strip()) for name, field in fields]:
        raise ValueError("empty Message-Id header")
    kept = [field for name, field in fields if name not in _HIDDEN]
    head = b"\n".join(kept).replace(b"\n", b"\r\n")
    return head + b"\r\n\r\n" + _clean_body(body)


def message_id(cleaned: bytes) -> str | None:
    """The Message-ID of a cleaned message, if it has one."""
    field = _find(cleaned, b"message-id")
    return field and " ".join(field.split())


def complete(message: Message, cleaned: bytes) -> bytes:
    """The cleaned message with the Date and Message-ID that it lacks."""
    added = ""
    if _find(cleaned, b"date") is None:
        added += f"Date: {date(message.created_ts)}\r\n"
    if _find(cleaned, b"message-id") is None:
        added += f"Message-ID: {message.message_id}\r\n"
    return added.encode("ascii") + cleaned if added else cleaned


def _split(data: bytes) -> tuple[bytes, bytes]:
    """Header, with LF between its lines, and body."""
    first = data.find(b"\n")
    newline = b"\r\n" if first > 0 and data[first - 1] == 13 else b"\n"
    head, _, body = data.partition(newline * 2)
    if newline == b"\r\n":
        if head.count(b"\n") != head.count(newline):
            raise ValueError("bare LF in the header")
        head = head.replace(newline, b"\n")
    if b"\r" in head:
        raise ValueError("bare CR in the header")
    return head.removesuffix(b"\n"), body


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    """(name in lower case, whole field) of every header."""
    fields = []
    for field in _FIELD_START.split(head):
        match = _is_field(field)
        if match is None:
            raise ValueError("a header is malformed, or not ASCII (RFC 2047)")
        if max(map(len, field.split(b"\n"))) > MAX_LINE:
            raise ValueError(f"a header has a line longer than {MAX_LINE} octets")
        words.read(re.sub(r"[\t\n]", " ", field.decode("ascii")))
        fields.append((match[1].lower(), field))
    return fields


def _clean_body(body: bytes) -> bytes:
    if b"\0" in body:
        raise ValueError("NUL in the body")
    body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = body.split(b"\n")
    if max(map(len, lines)) > MAX_LINE:
        raise ValueError(f"the body has a line longer than {MAX_LINE} octets")
    if lines[-1]:
        lines.append(b"")
    return b"\r\n".join(lines)


def _find(cleaned: bytes, name: bytes) -> str | None:
    """The value of the first header of that name."""
    head = b"\r\n" + cleaned.partition(b"\r\n\r\n")[0]
    match = re.search(rb"\r\n" + name + rb":((?:[^\r]|\r\n[\t ])*)", head, re.IGNORECASE)
    return match[1].decode("ascii") if match else None
