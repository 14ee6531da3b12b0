"""The kinds of text in a payload, and what each must not contain."""

from __future__ import annotations

from asyncmail.errors import Rejected
from asyncmail.mime import words


def opaque(name: str, value: object, longest: int) -> str:
    """A name of the client's own making, taken as it is: one line, 1 to ``longest`` characters."""
    text = _checked(name, value, longest)
    if not text or words.has_controls(text):
        raise Rejected(
            f"invalid payload: {name} " + ("contains control characters" if text else "is empty")
        )
    return text


def line(name: str, value: object, longest: int) -> str:
    """A text that people read in one line of the header; encoded words (RFC 2047) are decoded."""
    text = _checked(name, value, longest)
    try:
        return words.read(text)
    except ValueError as error:
        raise Rejected(f"invalid payload: {name} contains {error}") from None


def content(name: str, value: object) -> str:
    """A text of any length and any number of lines, as UTF-8 can hold it."""
    if not isinstance(value, str):
        raise Rejected(f"invalid payload: {name} must be a text")
    if "\0" in value:
        raise Rejected(f"invalid payload: {name} contains NUL")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Rejected(f"invalid payload: {name} contains a lone surrogate") from None
    return value


def _checked(name: str, value: object, longest: int) -> str:
    if not isinstance(value, str):
        raise Rejected(f"invalid payload: {name} must be a text")
    if len(value) > longest:
        raise Rejected(f"too large: {name} has more than {longest} characters")
    return value
