"""What a report says as a webhook: its type, its id, its body."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from enum import StrEnum

from asyncmail.model import Report


class EventType(StrEnum):
    """The types of webhooks. ``FAILED`` is final, and also covers messages that reached only some."""

    SENT = "message.sent"
    FAILED = "message.failed"
    DEFERRED = "message.deferred"


def event_type(report: Report) -> EventType:
    if report.error_ts is not None:
        return EventType.FAILED
    return EventType.DEFERRED if report.sent_ts is None else EventType.SENT


def webhook_id(report: Report) -> str:
    """The same for the same result, whenever and however often it is posted; another for any other.

    Hashed, since an application's id may hold a full stop, which the signature scheme forbids here.
    """
    result = [report.tenant_id, report.id, report.generation, report.result_seq]
    return f"msg_{hashlib.sha256(json.dumps(result).encode()).hexdigest()[:40]}"


def body_of(report: Report, now: float) -> bytes:
    """The JSON to post. ``now``: wall seconds; it is the ``timestamp`` of a deferral, whose own time a
    report does not tell."""
    final = report.sent_ts if report.error_ts is None else report.error_ts
    moment = datetime.fromtimestamp(int(now) if final is None else final, UTC)
    event = {
        "type": event_type(report),
        "timestamp": moment.isoformat().replace("+00:00", "Z"),
        "data": {
            "id": report.id,
            "tenant_id": report.tenant_id,
            "account_id": report.account_id,
            "priority": report.priority,
            "sent_ts": report.sent_ts,
            "error_ts": report.error_ts,
            "error": report.error,
            "deferred_ts": report.deferred_ts,
            "generation": report.generation,
            "result_seq": report.result_seq,
            "tags": list(report.tags),
        },
    }
    return json.dumps(event, separators=(",", ":")).encode()
