"""Text in headers: what must never stand there, and encoded words (RFC 2047) in both directions."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

# C0, DEL, C1 (NEL among them), the line and paragraph separators, lone surrogates.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# As lenient as the parsers that will read it: what any of them decodes, we decode and look at.
_WORD = re.compile(r"=\?([^?]*)\?([bBqQ])\?([^?]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(?==\?)")

_LONGEST = 48  # encoded characters a word, so that a whole one fits behind most header names
_LITERAL = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_Q = [chr(b) if b in _LITERAL else "_" if b == 32 else f"={b:02X}" for b in range(256)]


def has_controls(text: str) -> bool:
    """Whether the text holds a character that some reader takes for a line end or a command."""
    return not (text.isascii() and text.isprintable()) and _CONTROLS.search(text) is not None


def read(text: str) -> str:
    """The text that a reader of a header will see: encoded words decoded.

    Raises ``ValueError`` if the text, as given or as decoded, has control characters.
    """
    if "=?" in text and not has_controls(text):
        text = _WORD.sub(_decode, _BETWEEN_WORDS.sub(r"\1", text))
    if has_controls(text):
        raise ValueError("control characters")
    return text


def _decode(word: re.Match[str]) -> str:
    charset, encoding, encoded = word.groups()
    try:
        data = _bytes_of(encoding, encoded.encode("ascii"))
    except ValueError:
        return word[0]
    try:
        return data.decode(charset.partition("*")[0], "replace")
    except (LookupError, ValueError):
        shown = data.decode("latin-1")  # an unknown charset hides no line end
        return shown if re.search("[\x00-\x1f]", shown) else word[0]


def _bytes_of(encoding: str, encoded: bytes) -> bytes:
    if encoding in "qQ":
        return binascii.a2b_qp(encoded, header=True)
    return binascii.a2b_base64(encoded + b"=" * (-len(encoded) % 4))


def encode(text: str) -> list[str]:
    """The text as UTF-8 encoded words of at most 60 characters, B or Q, whichever is shorter.

    A character is never split between two words (RFC 2047 5).
    """
    data = text.encode()
    quoted = sum(len(_Q[byte]) for byte in data)
    if quoted <= 4 * len(data) / 3:
        pieces = ("".join([_Q[byte] for byte in character.encode()]) for character in text)
        return [f"=?utf-8?q?{chunk}?=" for chunk in _chunks(pieces, _LONGEST)]
    chunks = _chunks(iter(text), _LONGEST * 3 // 4)
    return [f"=?utf-8?b?{_base64(chunk)}?=" for chunk in chunks]


def _base64(chunk: str) -> str:
    return binascii.b2a_base64(chunk.encode(), newline=False).decode("ascii")


def _chunks(pieces: Iterator[str], room: int) -> Iterator[str]:
    """Join pieces to chunks of at most ``room`` octets each."""
    chunk: list[str] = []
    used = 0
    for piece in pieces:
        size = len(piece.encode())
        if used + size > room and chunk:
            yield "".join(chunk)
            chunk, used = [], 0
        chunk.append(piece)
        used += size
    if chunk:
        yield "".join(chunk)
