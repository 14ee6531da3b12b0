"""The book of what the server took: it outlives the client, so it is the witness of a crash test.

One JSON line per event, appended in one write. ``{"event": "copy", ...}`` is written when a message is
taken, before the reply. ``{"event": "unanswered", ...}`` follows if the connection ended before that
reply could be sent: from then on nobody but this file knows that the message was taken.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any


@dataclass(frozen=True, slots=True)
class Copy:
    """A message that the server took, once.

    ``time``: seconds since the epoch. ``connection``: its number, from 1. ``message_id``: the header,
    ``""`` without one. ``recipients``: those accepted in this transaction. ``sha256``, ``size`` and
    ``data`` are of the message without dot-stuffing. ``tls``: the protocol version, ``""`` in clear.
    """

    time: float
    connection: int
    message_id: str
    sender: str
    recipients: tuple[str, ...]
    sha256: str
    size: int
    tls: str
    user: str
    data: bytes = field(default=b"", repr=False, compare=False)

    def line(self, event: str) -> dict[str, Any]:
        """The event as it stands in the ledger: everything but the data."""
        return {
            "event": event,
            "time": self.time,
            "connection": self.connection,
            "message_id": self.message_id,
            "sender": self.sender,
            "recipients": self.recipients,
            "sha256": self.sha256,
            "size": self.size,
            "tls": self.tls,
            "user": self.user,
        }


class Ledger:
    """An append-only file of JSON lines; with the path ``None`` it keeps nothing."""

    def __init__(self, path: Path | str | None) -> None:
        self._descriptor: int | None = None
        if path is not None:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, line: dict[str, Any]) -> None:
        """Append one line in one write, so that a kill never leaves half of one between others."""
        if self._descriptor is not None:
            os.write(self._descriptor, json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def read_ledger(path: Path | str) -> list[Copy]:
    """Return every copy that the ledger names, in order, without the data."""
    return _read(path, "copy")


def read_unanswered(path: Path | str) -> list[Copy]:
    """Return the copies whose client never got the reply: each may rightly be sent once more."""
    return _read(path, "unanswered")


def _read(path: Path | str, event: str) -> list[Copy]:
    copies = []
    for line in Path(path).read_text().splitlines():
        entry = json.loads(line)
        if entry.pop("event") == event:
            copies.append(Copy(**{**entry, "recipients": tuple(entry["recipients"])}))
    return copies
