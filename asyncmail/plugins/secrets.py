"""The secrets that the service holds, and how they are kept out of logs, errors and reports."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from bisect import insort
from collections.abc import Iterator
from urllib.parse import quote

MASK = "***"
MIN_LENGTH = 4  # masking shorter ones would garble every text, and tell them by what is missing
CUT = "..."  # where a long text was cut off, perhaps within a secret
FEW = 16  # forms; more of them are looked for only in a text that has the beginning of one


class SecretRegistry:
    """Knows secrets and replaces them by ``***``, also where they were encoded on the way."""

    def __init__(self) -> None:
        self._forms: list[str] = []  # the longest first, so that none leaves the tail of another
        self._beginnings: set[str] = set()

    def register(self, secret: str | None) -> None:
        """Mask this from now on; nothing or less than 4 characters is not a secret."""
        if not secret or len(secret) < MIN_LENGTH:
            return
        for form in _forms(secret):
            if len(form) < MIN_LENGTH or (
                form[:MIN_LENGTH] in self._beginnings and form in self._forms
            ):
                continue
            insort(self._forms, form, key=lambda known: -len(known))
            self._beginnings.add(form[:MIN_LENGTH])

    def mask(self, text: str) -> str:
        if not self._may_hold_one(text):
            return text
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        if CUT in text:
            for form in self._forms:
                text = _without_beginning(text, form)
        return text

    def _may_hold_one(self, text: str) -> bool:
        """With a thousand accounts, looking for every form would cost more than sending the message."""
        if len(self._forms) <= FEW:
            return True
        pieces = (text[start : start + MIN_LENGTH] for start in range(len(text) - MIN_LENGTH + 1))
        return not self._beginnings.isdisjoint(pieces)


def _forms(secret: str) -> set[str]:
    """How a secret looks in headers, URLs, source code, JSON, and on one line."""
    return {
        secret,
        " ".join(secret.split()),
        quote(secret, safe="", errors="replace"),
        secret.encode("unicode_escape").decode(),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        *_in_base64(secret.encode("utf-8", "surrogatepass")),
    }


def _in_base64(secret: bytes) -> Iterator[str]:
    """Alone, and behind any other bytes: ``user:secret``, or what AUTH PLAIN sends."""
    yield base64.b64encode(secret).decode().rstrip("=")
    for before, shared in ((0, 0), (1, 2), (2, 3)):  # characters shared with what stands before
        whole = (before + len(secret)) * 8 // 6
        yield base64.b64encode(bytes(before) + secret).decode()[shared:whole]


def _without_beginning(text: str, form: str) -> str:
    """Mask the beginning of a form at a place where the text was cut."""
    end = text.find(CUT)
    while end >= 0:
        start = text.find(form[:MIN_LENGTH], max(end - len(form), 0), end)
        while start >= 0 and not form.startswith(text[start:end]):
            start = text.find(form[:MIN_LENGTH], start + 1, end)
        if start >= 0:
            text = text[:start] + MASK + text[end:]
            end = start + len(MASK)
        end = text.find(CUT, end + len(CUT))
    return text


class SecretFilter(logging.Filter):
    """Masks secrets in a record's message and traceback; to be added to every handler."""

    def __init__(self, secrets: SecretRegistry) -> None:
        super().__init__()
        self._secrets = secrets

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record. One with a secret loses its arguments and its exception object, which
        a formatter might print."""
        try:
            message = record.getMessage()
        except Exception:  # a log call with the wrong arguments must not fail its caller
            message = f"{record.msg} {record.args}"
            record.msg, record.args = message, None
        masked = self._secrets.mask(message)
        if masked != message:
            record.msg, record.args = masked, None
        if record.exc_info and record.exc_info[1]:
            trace = "".join(traceback.format_exception(record.exc_info[1])).rstrip()
            masked = self._secrets.mask(trace)
            if masked != trace:
                record.msg, record.args = f"{record.getMessage()}\n{masked}", None
                record.exc_info = record.exc_text = None
        return True
