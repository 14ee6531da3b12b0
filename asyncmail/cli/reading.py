"""Messages from a file or standard input: JSON or NDJSON, the latter without holding it in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, BinaryIO

from asyncmail.errors import AsyncmailError


class NotMessages(AsyncmailError):
    """The file is not one of the forms that ``read_messages`` knows."""


def read_messages(file: BinaryIO) -> tuple[Iterator[Any], int | None]:
    """The messages of an open file, and how many there are where that can be known.

    A JSON list; a JSON object with the list ``messages``; one message; or NDJSON, recognised by its
    first line being a whole object. Raises ``NotMessages``, for a broken line of NDJSON when its turn
    comes.
    """
    name = getattr(file, "name", "the input")
    count = _count(file)
    numbered = ((n, line) for n, line in enumerate(file, 1) if line.strip())
    number, first = next(numbered, (1, b""))
    value = _parsed(first)
    if isinstance(value, dict) and "messages" not in value:
        return _lines(chain([first], file), name, number), count
    if value is None:
        try:
            value = json.loads(first + file.read())
        except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
            raise NotMessages(f"{name} is not JSON: {error}", hint=_FORMS) from error
    messages = value.get("messages", [value]) if isinstance(value, dict) else value
    if not isinstance(messages, list):
        raise NotMessages(f"{name} holds no messages", hint=_FORMS)
    return iter(messages), len(messages)


_FORMS = 'a list of messages, an object with "messages", or a message a line'


def _parsed(line: bytes) -> Any:
    """The JSON value of a line, ``None`` where it is only the beginning of one."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def _lines(lines: Iterable[bytes], name: str, start: int) -> Iterator[Any]:
    """The value of each line; ``start`` is the number of the first."""
    for number, line in enumerate(lines, start):
        try:
            if line.strip():
                yield json.loads(line)
        except ValueError as error:
            raise NotMessages(
                f"{name}, line {number} is not JSON: {error}",
                hint="what came before it was handed over; repeating it is safe",
            ) from error


def _count(file: BinaryIO) -> int | None:
    """How many lines have something in them; unknown for what can be read only once."""
    if not file.seekable():
        return None
    start = file.tell()
    count = sum(1 for line in file if line.strip())
    file.seek(start)
    return count
