"""Header lines: ASCII, folded, never longer than the wire allows (RFC 5322 2.1.1, 2.2.3)."""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from asyncmail.mime import words
from asyncmail.model import Address

MAX_LINE = 998  # octets without CRLF
WIDTH = 76  # what folding aims at; RFC 2047 2 wants it where encoded words are
_LONGEST_WORD = 900  # an ASCII word above that is encoded, since it cannot be folded

_is_name = re.compile(r"(?!.*=\?)[!-9;-~]{1,76}").fullmatch  # nor may it look encoded
_is_reserved = re.compile(
    r"from|to|cc|bcc|sender|reply-to|return-path|received|date|subject|message-id"
    r"|mime-version|dkim-signature|resent-.*|content-.*|arc-.*",
    re.IGNORECASE,
).fullmatch
_is_phrase = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
).fullmatch
_is_literal = re.compile(r"[A-Za-z0-9!#$&+.^_`{|}~-]").fullmatch  # attribute-char of RFC 2231 7

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def check_custom_name(name: str) -> None:
    """Raise ``ValueError`` unless an application may set a header of this name."""
    if not _is_name(name):
        raise ValueError(f"not a header name: {name[:80]!a}")
    if _is_reserved(name):
        raise ValueError(f"header {name} is reserved")


def date(timestamp: float) -> str:
    """A date-time of RFC 5322 3.3, in UTC, to the second."""
    return _date(int(timestamp))


@lru_cache(maxsize=16)  # many messages are accepted in one second
def _date(timestamp: int) -> str:
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(timestamp)
    return (
        f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04}"
        f" {hour:02}:{minute:02}:{second:02} +0000"
    )


def text(name: str, value: str) -> str:
    """A header of free text; what is not plain ASCII in it becomes encoded words."""
    if _fits(name, value) and "=?" not in value:
        return f"{name}: {value}\r\n"
    tokens = value.split(" ")
    if "" in tokens:  # spaces that readers would strip or collapse
        return fold(name, words.encode(value))
    return fold(name, _encoded(tokens, lambda token: _is_unfit(token) or "=?" in token))


def custom(name: str, value: str) -> str:
    """A header of the application: its ASCII may have a structure and stays as it is."""
    if _fits(name, value):
        return f"{name}: {value}\r\n"
    return fold(name, _encoded([token for token in value.split(" ") if token], _is_unfit))


def addresses(name: str, mailboxes: Sequence[Address]) -> str:
    """A header with a list of mailboxes (RFC 5322 3.4)."""
    if len(mailboxes) == 1 and not mailboxes[0].display:
        line = f"{name}: {mailboxes[0].spec}\r\n"
        if len(line) <= WIDTH:
            return line
    tokens: list[str] = []
    for mailbox in mailboxes:
        tokens += _mailbox_tokens(mailbox)
        tokens[-1] += ","
    tokens[-1] = tokens[-1][:-1]
    return fold(name, tokens)


def fold(name: str, tokens: Iterable[str]) -> str:
    """Join tokens by single spaces, beginning a new line where the next would not fit."""
    lines: list[str] = []
    line = name + ":"
    for token in tokens:
        if len(line) + 1 + len(token) > WIDTH:
            lines.append(line)
            line = " " + token
        else:
            line += " " + token
    lines.append(line)
    return "\r\n".join(lines) + "\r\n"


def parameter(name: str, value: str) -> list[str]:
    """A parameter of Content-Type or Content-Disposition, one string for each line.

    What is not plain ASCII goes into the extended form of RFC 2231, in sections where it is long,
    followed by an ASCII likeness for readers that know only the simple form.
    """
    if value.isascii() and len(value) <= 2 * WIDTH:
        return [_simple(name, value)]
    sections = _sections(value)
    if len(sections) == 1:
        extended = [f"{name}*=utf-8''{sections[0]}"]
    else:
        extended = [f"{name}*0*=utf-8''{sections[0]}"]
        extended += [f"{name}*{n}*={section}" for n, section in enumerate(sections[1:], 1)]
    return [*extended, _simple(name, _likeness(value))]


def _fits(name: str, value: str) -> bool:
    return value.isascii() and len(name) + 2 + len(value) <= WIDTH and value == value.strip(" ")


def _is_unfit(token: str) -> bool:
    return not token.isascii() or len(token) > _LONGEST_WORD


def _encoded(tokens: list[str], is_special: Callable[[str], bool]) -> list[str]:
    """The words of a header; from the first special one to the last, encoded."""
    special = [n for n, token in enumerate(tokens) if is_special(token)]
    if not special:
        return tokens
    first, end = special[0], special[-1] + 1
    return [*tokens[:first], *words.encode(" ".join(tokens[first:end])), *tokens[end:]]


def _mailbox_tokens(mailbox: Address) -> list[str]:
    display = mailbox.display
    if not display:
        return [mailbox.spec]
    spec = f"<{mailbox.spec}>"
    if not display.isascii() or "=?" in display:
        return [*words.encode(display), spec]
    if _is_phrase(display):
        return [*display.split(" "), spec]
    return [_quote(display), spec]


def _quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _simple(name: str, value: str) -> str:
    return f"{name}={_quote(value)}"


def _sections(value: str) -> list[str]:
    """The value percent-encoded as UTF-8, cut between characters to what fits on a line."""
    sections = [""]
    for character in value:
        piece = character
        if not _is_literal(character):
            piece = "".join(f"%{byte:02X}" for byte in character.encode())
        if len(sections[-1]) + len(piece) > WIDTH - 24:
            sections.append("")
        sections[-1] += piece
    return sections


def _likeness(value: str) -> str:
    """Something like the value in at most 64 ASCII characters, its suffix kept."""
    plain = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode("ascii")
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", plain)
    stem, dot, suffix = plain.rpartition(".")
    if dot and len(suffix) <= 16:
        return (stem[: 63 - len(suffix)] or "file") + dot + suffix
    return plain[:64] or "file"
