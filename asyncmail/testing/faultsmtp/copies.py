"""What the server took, in memory and in the ledger, which is the witness of a crash test.

The ledger has one JSON line per event. ``{"event": "copy", ...}`` is written when a message is
taken, before the reply. ``{"event": "unanswered", ...}`` follows if the connection ended before that
reply could be sent: from then on nobody but this file knows that the message was taken.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
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
