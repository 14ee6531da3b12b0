"""What is published of a report: a body and an id, both the same whenever it is published."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from asyncmail.model import Report


@dataclass(frozen=True, slots=True)
class Note:
    """``report``: the id of the message, as the service knows it. ``id``: of this one result."""

    report: str
    id: str
    body: bytes = field(repr=False)


def note_of(report: Report) -> Note:
    """The same for the same result, another id for any other: consumers know repeats by it."""
    result = [report.tenant_id, report.id, report.generation, report.result_seq]
    id = hashlib.sha256(json.dumps(result).encode()).hexdigest()[:40]
    body = {
        "report_id": id,
        "tenant_id": report.tenant_id,
        "id": report.id,
        "account_id": report.account_id,
        "priority": report.priority,
        "sent_ts": report.sent_ts,
        "error_ts": report.error_ts,
        "error": report.error,
        "deferred_ts": report.deferred_ts,
        "generation": report.generation,
        "result_seq": report.result_seq,
        "tags": list(report.tags),
    }
    return Note(report.id, id, json.dumps(body, separators=(",", ":")).encode())
