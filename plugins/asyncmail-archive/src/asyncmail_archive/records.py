"""How records are written down: JSON Lines, gzip, one object per day, named after its content."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from asyncmail.model import RetiredMessage


@dataclass(frozen=True, slots=True)
class Volume:
    """One object of the archive, and the ids of the messages in it."""

    name: str
    data: bytes
    ids: tuple[str, ...]


def volumes(records: Sequence[RetiredMessage]) -> Iterator[Volume]:
    """The records as objects, by the day (UTC) of their result, oldest first.

    The same records make the same names and the same content, whenever that is, so that writing them
    again after a crash overwrites what there is.
    """
    in_order = sorted(records, key=lambda record: (_day(record), record.tenant_id, record.id))
    for day, of_day in groupby(in_order, _day):
        yield _volume(day, list(of_day))


def _volume(day: str, records: Sequence[RetiredMessage]) -> Volume:
    lines = "".join(f"{_line(record)}\n" for record in records).encode()
    digest = hashlib.sha256(lines).hexdigest()[:40]
    data = gzip.compress(lines, mtime=0)
    return Volume(f"{day}/{digest}.jsonl.gz", data, tuple(record.id for record in records))


def _line(record: RetiredMessage) -> str:
    content = {
        "tenant_id": record.tenant_id,
        "id": record.id,
        "account_id": record.account_id,
        "sent_ts": record.sent_ts,
        "error_ts": record.error_ts,
        "error": record.error,
        "reported_ts": record.reported_ts,
        "message": dict(record.payload),
    }
    return json.dumps(content, separators=(",", ":"), sort_keys=True)


def _day(record: RetiredMessage) -> str:
    """From the time of the result, which never changes."""
    moment = result_ts(record)
    return "undated" if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y/%m/%d")


def result_ts(record: RetiredMessage) -> int | None:
    return record.sent_ts if record.error_ts is None else record.error_ts
