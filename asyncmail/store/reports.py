"""Reports: which sink has taken which result, and what a message still owes."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from asyncmail.model import Report
from asyncmail.store import values
from asyncmail.store.connection import Connection, Transaction
from asyncmail.store.writer import Operation, Rank

DROP_BATCH = 1000

_PENDING = """
SELECT json_group_array(json_array(key, tenant_id, id, account_id, priority, sent_ts, error_ts, error,
    deferred_ts, generation, result_seq, tags))
FROM (
    SELECT r.* FROM reports AS p JOIN results AS r
        ON r.message_key = p.message_key AND r.key = p.result_key
    WHERE p.sink = ? AND p.acknowledged_ts IS NULL AND p.not_before <= ?
        AND NOT EXISTS (
            SELECT 1 FROM reports AS older
            WHERE older.message_key = p.message_key AND older.result_key < p.result_key
                AND older.sink = p.sink AND older.acknowledged_ts IS NULL)
    ORDER BY p.result_key LIMIT ?)
"""

_OLDEST = """
SELECT r.recorded_ts FROM reports AS p JOIN results AS r
    ON r.message_key = p.message_key AND r.key = p.result_key
WHERE p.sink = ? AND p.acknowledged_ts IS NULL ORDER BY p.result_key LIMIT 1
"""

_ACKNOWLEDGE = """
UPDATE reports SET acknowledged_ts = ?
WHERE sink = ? AND acknowledged_ts IS NULL AND result_key IN (SELECT value FROM json_each(?))
"""

_MESSAGES = """
SELECT json_group_array(message_key) FROM reports
WHERE sink = ? AND acknowledged_ts IS NULL AND result_key IN (SELECT value FROM json_each(?))
"""

_POSTPONE = """
UPDATE reports SET not_before = ?
WHERE sink = ? AND acknowledged_ts IS NULL AND result_key IN (SELECT value FROM json_each(?))
"""

_NOTHING_OWED = """
key IN (SELECT value FROM json_each(?)) AND state IN ('sent', 'error') AND done_ts IS NULL
    AND NOT EXISTS (SELECT 1 FROM reports AS p
        WHERE p.message_key = messages.key AND p.acknowledged_ts IS NULL)
"""

_REPORTED = f"""
UPDATE messages SET reported_ts = ?, done_ts = ?, updated_at = ? WHERE {_NOTHING_OWED}
"""  # noqa: S608 - a condition of ours

_REPORTED_TO_THE_REST = f"""
UPDATE messages SET reported_ts = ?, done_ts = ?, updated_at = ?
WHERE {_NOTHING_OWED} AND EXISTS (
    SELECT 1 FROM results AS r JOIN reports AS p
        ON p.message_key = r.message_key AND p.result_key = r.key
    WHERE r.message_key = messages.key AND r.result_seq = messages.result_seq
        AND p.sink IN (SELECT name FROM sinks))
"""  # noqa: S608 - a condition of ours

_OWED_BY_NOBODY = f"""
UPDATE messages SET done_ts = coalesce(sent_ts, error_ts) WHERE {_NOTHING_OWED}
"""  # noqa: S608 - a condition of ours

_LEFT_BEHIND = """
SELECT sink, count(*) AS pending FROM reports
WHERE acknowledged_ts IS NULL AND sink NOT IN (SELECT value FROM json_each(?)) GROUP BY sink
"""

_DROP = """
DELETE FROM reports WHERE (message_key, result_key, sink) IN (
    SELECT message_key, result_key, sink FROM reports
    WHERE acknowledged_ts IS NULL AND sink NOT IN (SELECT name FROM sinks) LIMIT ?)
RETURNING message_key
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """Results that a sink has taken."""

    sink: str
    reports: Sequence[Report]


@dataclass(frozen=True, slots=True)
class Postponed:
    """Results that a sink is not to be offered before ``until`` (steady)."""

    sink: str
    reports: Sequence[Report]
    until: float


# --- read ----------------------------------------------------------------------------------------


async def pending(connection: Connection, sink: str, now: float, limit: int) -> list[Report]:
    """The oldest results that the sink has not taken, one per message at most."""
    return [_report(row) for row in await connection.gathered(_PENDING, (sink, now, limit))]


async def oldest(connection: Connection, sink: str) -> float | None:
    """When the oldest of them was recorded."""
    rows = await connection.rows(_OLDEST, (sink,))
    return rows[0]["recorded_ts"] if rows else None


async def left_behind(connection: Connection, names: Collection[str]) -> dict[str, int]:
    """How many reports are pending for sinks other than these."""
    rows = await connection.rows(_LEFT_BEHIND, (json.dumps(sorted(names)),))
    return {row["sink"]: row["pending"] for row in rows}


def _report(row: Sequence[Any]) -> Report:
    key, tenant_id, id, account_id, priority, sent_ts = row[:6]
    error_ts, error, deferred_ts, generation, result_seq, tags = row[6:]
    return Report(
        key,
        tenant_id,
        id,
        account_id,
        priority,
        sent_ts,
        error_ts,
        error,
        deferred_ts,
        generation,
        result_seq,
        values.tags_from(tags),
    )


# --- write ---------------------------------------------------------------------------------------


def _acknowledge(tx: Transaction, groups: Sequence[Taken]) -> list[None]:
    now = int(tx.wall)
    messages: set[int] = set()
    for group in groups:
        keys = _keys(group.reports)
        messages.update(tx.gathered(_MESSAGES, (group.sink, keys)))
        tx.rows(_ACKNOWLEDGE, (now, group.sink, keys))
    tx.rows(_REPORTED, (now, tx.wall, now, values.keys_json(messages)))
    return [None for _ in groups]


acknowledge: Operation[Taken, None] = Operation(
    "acknowledge", _acknowledge, Rank.ACKNOWLEDGEMENTS, patient=True
)


def _postpone(tx: Transaction, groups: Sequence[Postponed]) -> list[None]:
    for group in groups:
        tx.rows(_POSTPONE, (group.until, group.sink, _keys(group.reports)))
    return [None for _ in groups]


postpone: Operation[Postponed, None] = Operation("postpone", _postpone, Rank.ACKNOWLEDGEMENTS)


def forget_postponements(tx: Transaction) -> None:
    """After a start everything is offered at once."""
    tx.rows("UPDATE reports SET not_before = 0 WHERE acknowledged_ts IS NULL AND not_before > 0")


def _set_sinks(tx: Transaction, wanted: Sequence[Collection[str]]) -> list[None]:
    names = json.dumps(sorted(wanted[-1]))
    tx.rows("DELETE FROM sinks WHERE name NOT IN (SELECT value FROM json_each(?))", (names,))
    tx.rows("INSERT OR IGNORE INTO sinks SELECT value FROM json_each(?)", (names,))
    return [None for _ in wanted]


set_sinks: Operation[Collection[str], None] = Operation("set sinks", _set_sinks)


def _drop(tx: Transaction, limits: Sequence[int]) -> list[int]:
    """Drop pending reports of sinks that are gone; how many, so that the caller can go on."""
    answers: list[int] = []
    for limit in limits:
        dropped = tx.rows(_DROP, (limit,))
        keys = values.keys_json({row["message_key"] for row in dropped})
        now = int(tx.wall)
        tx.rows(_REPORTED_TO_THE_REST, (now, tx.wall, now, keys))
        tx.rows(_OWED_BY_NOBODY, (keys,))
        answers.append(len(dropped))
    return answers


drop: Operation[int, int] = Operation("drop reports", _drop)


def _keys(reports: Sequence[Report]) -> str:
    return values.keys_json(report.key for report in reports)
