"""The canonicalization ``relaxed`` of header fields and bodies (RFC 6376 3.4.2, 3.4.4)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256

CHUNK = 65_536  # bytes at a time: a regular expression keeps all other threads waiting

_FIELD_END = re.compile(rb"\r\n(?![ \t])")
_BLANKS = re.compile(rb"[ \t]+")
_TO_COLLAPSE = re.compile(rb"[ \t]{2,}|\t")
_EMPTY_LINES = re.compile(rb"(?:\r\n)*\Z")


def header_end(data: bytes) -> int:
    """Where the header ends, the CRLF of its last field included; all of it if there is no body."""
    if data.startswith(b"\r\n"):
        return 0
    end = data.find(b"\r\n\r\n")
    return len(data) if end < 0 else end + 2


def fields(header: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name in lower case, canonical field without CRLF) of every field, from the top."""
    for field in _FIELD_END.split(header):
        if field:
            name, _, value = field.partition(b":")
            name = name.rstrip(b" \t").lower()
            yield name, name + b":" + value_of(value)


def value_of(value: bytes) -> bytes:
    """A field's value on one line, with single spaces."""
    return _BLANKS.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")


def body_hash(data: bytes, start: int) -> bytes:
    """SHA-256 of the canonical body, which begins at ``start``.

    An empty body, or one of nothing but empty lines, is hashed as nothing at all; any other one ends
    with one CRLF, whether or not it came with it.
    """
    digest = sha256()
    held = 0  # CRLFs that count only if something follows
    is_empty = True
    for chunk in _chunks(data, start):
        text = _relaxed(chunk)
        end = len(text.rstrip(b"\r\n"))
        match = _EMPTY_LINES.search(text, end)
        end = match.start() if match else len(text)
        if end:
            digest.update(b"\r\n" * held)
            digest.update(memoryview(text)[:end])
            held, is_empty = 0, False
        held += (len(text) - end) // 2
    if not is_empty:
        digest.update(b"\r\n")
    return digest.digest()


def _chunks(data: bytes, start: int) -> Iterator[bytes]:
    """Pieces of whole lines; only the last may lack its CRLF."""
    while start < len(data):
        cut = data.rfind(b"\r\n", start, start + CHUNK)
        if cut < 0:
            cut = data.find(b"\r\n", start)
        end = len(data) if cut < 0 else cut + 2
        yield data[start:end]
        start = end


def _relaxed(chunk: bytes) -> bytes:
    if b"\t" in chunk or b"  " in chunk:
        chunk = _TO_COLLAPSE.sub(b" ", chunk)
    if b" \r\n" in chunk:
        chunk = chunk.replace(b" \r\n", b"\r\n")
    return chunk.removesuffix(b" ")
