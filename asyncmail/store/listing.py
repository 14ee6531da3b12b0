"""Listings: pages of messages, and one message with its whole history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncmail.store import values
from asyncmail.store.base import (
    AttemptRecord,
    Filter,
    MessageHistory,
    MessageRecord,
    ReportRecord,
)
from asyncmail.store.connection import Connection, Row

# The page ends where the payloads before a message reach the limit; the first one is always on it.
_PAGE = """
SELECT m.*, p.payload FROM (
    SELECT key, sum(size) OVER (ORDER BY key ROWS UNBOUNDED PRECEDING) AS total,
        row_number() OVER (ORDER BY key) AS position
    FROM (SELECT key, size FROM messages WHERE {which} ORDER BY key LIMIT ?)
) AS page
JOIN messages AS m ON m.key = page.key
JOIN payloads AS p ON p.message_key = m.key
WHERE page.total <= ? OR page.position = 1
ORDER BY m.key
"""

_ONE = """
SELECT m.*, p.payload, s.outcomes FROM messages AS m
JOIN payloads AS p ON p.message_key = m.key LEFT JOIN settled AS s ON s.message_key = m.key
WHERE m.tenant_id = ? AND m.id = ?
"""

_REPORTS = """
SELECT p.sink, p.acknowledged_ts, r.generation, r.result_seq, r.sent_ts, r.error_ts, r.error
FROM reports AS p JOIN results AS r ON r.message_key = p.message_key AND r.key = p.result_key
WHERE p.message_key = ? ORDER BY p.result_key, p.sink
"""


async def page(
    connection: Connection, which: Filter, limit: int, after_key: int, max_bytes: int
) -> list[MessageRecord]:
    """See ``Store.messages``."""
    where, parameters = _where(which, after_key)
    rows = await connection.rows(_PAGE.format(which=where), (*parameters, limit, max_bytes))
    return [_record(row) for row in rows]


async def history(connection: Connection, tenant_id: str, id: str) -> MessageHistory | None:
    """See ``Store.history``."""
    found = await connection.rows(_ONE, (tenant_id, id))
    if not found:
        return None
    row = found[0]
    attempts = await connection.rows(
        "SELECT * FROM attempts WHERE message_key = ? ORDER BY number", (row["key"],)
    )
    reports = await connection.rows(_REPORTS, (row["key"],))
    return MessageHistory(
        record=_record(row),
        attempts=[(attempt["generation"], _attempt(attempt)) for attempt in attempts],
        reports=[_report(report) for report in reports],
        settled=values.settled_from(row["outcomes"]),
    )


def _where(which: Filter, after_key: int) -> tuple[str, Sequence[Any]]:
    conditions = ["key > ?"]
    parameters: list[Any] = [after_key]
    if which.account_id is None:
        conditions.append("+tenant_id = ?")  # the plus keeps SQLite from sorting all of the tenant
        parameters.append(which.tenant_id)
    else:
        conditions.append("tenant_id = ? AND account_id = ?")
        parameters.extend((which.tenant_id, which.account_id))
    states = [state for status in which.statuses for state in values.STATES[status]]
    if states:
        conditions.append(f"state IN ({', '.join('?' for _ in states)})")
        parameters.extend(states)
    return " AND ".join(conditions), parameters


def _record(row: Row) -> MessageRecord:
    return MessageRecord(
        key=row["key"],
        tenant_id=row["tenant_id"],
        id=row["id"],
        account_id=row["account_id"],
        generation=row["generation"],
        priority=row["priority"],
        status=values.STATUS[row["state"]],
        deferred_ts=row["deferred_ts"],
        sent_ts=row["sent_ts"],
        error_ts=row["error_ts"],
        error=row["error"],
        reported_ts=row["reported_ts"],
        created_at=int(row["created_ts"]),
        updated_at=row["updated_at"],
        retry_count=row["attempts"],
        payload=row["payload"],
    )


def _attempt(row: Row) -> AttemptRecord:
    return AttemptRecord(
        started_ts=row["started_ts"],
        ended_ts=row["ended_ts"],
        outcome=row["outcome"],
        uncertain=bool(row["uncertain"]),
        error=row["error"],
        recipients=values.outcomes_from(row["recipients"]),
    )


def _report(row: Row) -> ReportRecord:
    return ReportRecord(
        sink=row["sink"],
        generation=row["generation"],
        result_seq=row["result_seq"],
        sent_ts=row["sent_ts"],
        error_ts=row["error_ts"],
        error=row["error"],
        acknowledged_ts=row["acknowledged_ts"],
    )
