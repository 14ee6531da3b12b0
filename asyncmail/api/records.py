"""Stored messages as the API shows them: inline content as its size, lifecycle fields always there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from asyncmail.model import RecipientOutcome
from asyncmail.store.base import (
    AttemptRecord,
    MessageHistory,
    MessageRecord,
    ReportRecord,
    Status,
)

WAITING = frozenset({Status.QUEUED, Status.DEFERRED})


def message_view(record: MessageRecord, account_error: str | None) -> dict[str, Any]:
    """A message as ``MessageView``. ``account_error``: why the account's mail waits, if it does."""
    error = record.error
    if error is None and record.status in WAITING:
        error = account_error
    return {
        "id": record.id,
        "account_id": record.account_id,
        "priority": record.priority,
        "status": record.status.value,
        "deferred_ts": record.deferred_ts,
        "sent_ts": record.sent_ts,
        "error_ts": record.error_ts,
        "error": error,
        "reported_ts": record.reported_ts,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "message": {**_shown(from_json(record.payload)), "retry_count": record.retry_count},
    }


def history_view(history: MessageHistory, account_error: str | None) -> dict[str, Any]:
    """A message as ``MessageHistoryReply``, without ``ok``."""
    return {
        **message_view(history.record, account_error),
        "attempts": [_attempt(generation, attempt) for generation, attempt in history.attempts],
        "recipients": [_recipient(outcome) for outcome in history.settled.values()],
        "reports": [_report(report) for report in history.reports],
    }


def _shown(payload: dict[str, Any]) -> dict[str, Any]:
    """Content that lies inside the payload is replaced by its size in bytes."""
    if raw := payload.get("raw"):
        payload["raw"] = _size_of(raw)
    for attachment in payload.get("attachments") or ():
        path = attachment["storage_path"]
        if path.startswith("base64:") or attachment.get("fetch_mode") == "base64":
            attachment["storage_path"] = f"base64:{_size_of(path.removeprefix('base64:'))}"
    return payload


def _size_of(base64: str) -> str:
    padding = len(base64) - len(base64.rstrip("="))
    return f"{max(len(base64) * 3 // 4 - padding, 0)} bytes"


def _attempt(generation: int, attempt: AttemptRecord) -> dict[str, Any]:
    return {
        "generation": generation,
        "started_ts": int(attempt.started_ts),
        "duration": round(max(attempt.ended_ts - attempt.started_ts, 0.0), 3),
        "outcome": attempt.outcome,
        "uncertain": attempt.uncertain,
        "error": attempt.error,
        "recipients": [_recipient(outcome) for outcome in attempt.recipients],
    }


def _recipient(outcome: RecipientOutcome) -> Mapping[str, Any]:
    return {
        "recipient": outcome.recipient,
        "outcome": outcome.disposition.value,
        "code": outcome.code,
        "enhanced": outcome.enhanced,
        "text": outcome.text,
    }


def _report(report: ReportRecord) -> Mapping[str, Any]:
    return {
        "sink": report.sink,
        "generation": report.generation,
        "result_seq": report.result_seq,
        "sent_ts": report.sent_ts,
        "error_ts": report.error_ts,
        "error": report.error,
        "acknowledged_ts": report.acknowledged_ts,
    }
