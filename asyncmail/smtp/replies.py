"""Replies of an SMTP server: taking them out of the bytes as they come in, and reading them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from asyncmail.outcome import MAX_ERROR_LENGTH, clean

MAX_LINE = 4096  # RFC 5321 4.5.3.1.5 says 512; real servers are more talkative
MAX_LINES = 100

_LINE = re.compile(rb"([1-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?=\s|$)")  # RFC 2034, RFC 3463
_WISH = re.compile(
    r"\b(?:try|retry|come back)\b.{0,40}?\b(?:in|after) (\d{1,6}) ?(s|m|h)?(?:ec\w*|in\w*|ours?|r)?\b",
    re.IGNORECASE,
)
_UNIT = {"s": 1, "m": 60, "h": 3600}
_MAX_WISH = 86_400


class MalformedReply(Exception):
    """The bytes are not an SMTP reply; what follows them on the connection cannot be trusted."""


class Reply(NamedTuple):
    """One reply. ``raw``: its text lines joined by line feeds, as the server wrote them."""

    code: int
    raw: bytes

    @property
    def wish(self) -> float | None:
        """Seconds that a 4yz reply asks to wait (``try again in 300 seconds``), at most a day."""
        found = _WISH.search(self.read()[1]) if self.code // 100 == 4 else None
        if not found:
            return None
        return float(min(int(found[1]) * _UNIT[(found[2] or "s").lower()], _MAX_WISH))

    def __str__(self) -> str:
        enhanced, text = self.read()
        return " ".join(word for word in (str(self.code), enhanced, text) if word)

    def read(self) -> tuple[str | None, str]:
        """The enhanced status code, if there is one of the reply's own class, and the words.

        The words are one line, printable, at most 500 characters.
        """
        enhanced = None
        lines = []
        for line in self.raw.decode("utf-8", "backslashreplace").split("\n"):
            found = _ENHANCED.match(line)
            if found and int(line[0]) == self.code // 100:
                enhanced = enhanced or found[0]
                line = line[found.end() :]
            lines.append(line.strip())
        text = " ".join(lines)
        plain = text.isprintable() and len(text) <= MAX_ERROR_LENGTH
        return enhanced, text if plain else clean(text)


class ReplyParser:
    """Cuts a stream of bytes into replies. Once it has raised, it is of no further use."""

    def __init__(self) -> None:
        self._rest = b""
        self._code = 0
        self._texts: list[bytes] = []

    @property
    def partial(self) -> bool:
        """Whether the beginning of a reply has come without its end."""
        return bool(self._rest or self._texts)

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Yield each reply that these bytes complete; raise ``MalformedReply`` at the first wrong one.

        A bare line feed ends a line as well, and a code may stand alone.
        """
        if self._rest:
            data = self._rest + data
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            line = data[start : end - 1 if data[end - 1 : end] == b"\r" and end > start else end]
            start = end + 1
            reply = self._line(line)
            if reply is not None:
                yield reply
        self._rest = data[start:]
        if len(self._rest) > MAX_LINE:
            raise MalformedReply(f"a line of more than {MAX_LINE} bytes")

    def _line(self, line: bytes) -> Reply | None:
        """Take one line; return the reply if it is the last of one."""
        if len(line) > MAX_LINE:
            raise MalformedReply(f"a line of more than {MAX_LINE} bytes")
        found = _LINE.fullmatch(line)
        if not found:
            raise MalformedReply(clean(line[:200].decode("utf-8", "backslashreplace")))
        digits, mark, text = found.groups()
        code = int(digits)
        texts = self._texts
        if texts and code != self._code:
            raise MalformedReply(f"one reply with two codes, {self._code} and {code}")
        if mark == b"-":
            self._code = code
            texts.append(text)
            if len(texts) > MAX_LINES:
                raise MalformedReply(f"a reply of more than {MAX_LINES} lines")
            return None
        if not texts:
            return Reply(code, text or b"")
        texts.append(text or b"")
        self._texts = []
        return Reply(code, b"\n".join(texts))
