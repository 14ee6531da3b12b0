"""The secrets that the service holds, and how they are kept out of logs, errors and reports."""

from __future__ import annotations

import base64
import logging
import traceback
from urllib.parse import quote

MASK = "***"
MIN_LENGTH = 4  # masking shorter ones would garble every text, and tell them by what is missing


class SecretRegistry:
    """Knows secrets and replaces them by ``***``, also where they were encoded on the way."""

    def __init__(self) -> None:
        self._forms: list[str] = []

    def register(self, secret: str | None) -> None:
        """Mask this from now on; nothing or less than 4 characters is not a secret."""
        if not secret or len(secret) < MIN_LENGTH:
            return
        encoded = base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode()
        quoted = quote(secret, safe="", errors="replace")
        escaped = secret.encode("unicode_escape").decode()
        new = {secret, quoted, escaped, encoded.rstrip("=")}.difference(self._forms)
        # The longest first, so that no secret leaves its tail behind where another is its beginning.
        self._forms = sorted([*self._forms, *new], key=len, reverse=True)

    def mask(self, text: str) -> str:
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
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
