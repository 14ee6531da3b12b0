"""Deletion: by retention and by the client. What may go is decided in the DELETE's own WHERE."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from asyncmail.failpoints import failpoint
from asyncmail.model import RetiredMessage
from asyncmail.store import values
from asyncmail.store.base import Lane, Removal
from asyncmail.store.connection import Connection, Transaction
from asyncmail.store.writer import Operation

BATCH = 1000  # rows of one transaction

# Final, acknowledged at its current seq by all that it was owed to.
_DONE = """
m.state IN ('sent', 'error') AND m.done_ts IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM reports AS p
        WHERE p.message_key = m.key AND p.acknowledged_ts IS NULL)
"""

# Not started; and no earlier result of it is still on its way.
_WITHDRAWABLE = """
m.state IN ('ready', 'scheduled', 'retry', 'orphaned')
    AND NOT EXISTS (SELECT 1 FROM reports AS p
        JOIN results AS r ON r.message_key = p.message_key AND r.key = p.result_key
        WHERE p.message_key = m.key AND p.acknowledged_ts IS NULL
            AND coalesce(r.sent_ts, r.error_ts) IS NOT NULL)
"""

_RETIRABLE = f"""
SELECT m.key, m.tenant_id, m.id, m.account_id, m.sent_ts, m.error_ts, m.error, m.reported_ts,
    p.payload
FROM messages AS m INDEXED BY messages_done JOIN payloads AS p ON p.message_key = m.key
WHERE m.tenant_id = ? AND m.account_id = ? AND m.done_ts < ? AND m.key > ? AND {_DONE}
ORDER BY m.key LIMIT ?
"""  # noqa: S608 - a condition of ours

_RETIRE = f"""
DELETE FROM messages AS m
WHERE m.key IN (SELECT value FROM json_each(?)) AND m.done_ts < ? AND {_DONE} RETURNING key
"""  # noqa: S608 - a condition of ours

_STATES = """
SELECT m.key, m.id, m.state FROM json_each(?) AS wanted
JOIN messages AS m ON m.tenant_id = ? AND m.id = wanted.value
"""

_REMOVE = f"""
DELETE FROM messages AS m WHERE m.key IN (SELECT value FROM json_each(?))
    AND (({_DONE}) OR ({_WITHDRAWABLE}))
RETURNING key, done_ts
"""  # noqa: S608 - conditions of ours

_PARTS = ("payloads", "settled", "digests", "attempts", "results", "reports")


@dataclass(frozen=True, slots=True)
class Retirement:
    """At most ``BATCH`` keys, and the time before which they must be done."""

    keys: Sequence[int]
    before: float


@dataclass(frozen=True, slots=True)
class Removals:
    """At most ``BATCH`` ids of a tenant that its client no longer wants."""

    tenant_id: str
    ids: Sequence[str]


async def retirable(
    connection: Connection, lane: Lane, before: float, limit: int, after_key: int
) -> list[tuple[int, RetiredMessage]]:
    """See ``Store.retirable``."""
    rows = await connection.rows(
        _RETIRABLE, (lane.tenant_id, lane.account_id, before, after_key, limit)
    )
    return [
        (
            row["key"],
            RetiredMessage(
                tenant_id=row["tenant_id"],
                id=row["id"],
                account_id=row["account_id"],
                sent_ts=row["sent_ts"],
                error_ts=row["error_ts"],
                error=row["error"],
                reported_ts=row["reported_ts"],
                payload=json.loads(row["payload"]),
            ),
        )
        for row in rows
    ]


def _retire(tx: Transaction, retirements: Sequence[Retirement]) -> list[list[int]]:
    answers: list[list[int]] = []
    for one in retirements:
        rows = tx.rows(_RETIRE, (values.keys_json(one.keys), one.before))
        gone = [row["key"] for row in rows]
        failpoint("retention.mid")
        _delete_parts(tx, gone)
        answers.append(gone)
    return answers


retire: Operation[Retirement, list[int]] = Operation("retire", _retire)


def _remove(tx: Transaction, removals: Sequence[Removals]) -> list[list[Removal]]:
    answers: list[list[Removal]] = []
    for one in removals:
        rows = tx.rows(_STATES, (json.dumps(list(one.ids)), one.tenant_id))
        known = {row["id"]: row for row in rows}
        keys = values.keys_json({row["key"] for row in rows})
        gone = tx.rows(_REMOVE, (keys,))
        removed = {row["key"] for row in gone}
        _delete_parts(tx, list(removed))
        tx.pending -= sum(row["done_ts"] is None for row in gone)
        answer: list[Removal] = []
        for name in one.ids:
            row = known.get(name)
            if row is None:
                answer.append(Removal.NOT_FOUND)
            elif row["key"] in removed:
                answer.append(Removal.REMOVED)
            elif row["state"] == values.CLAIMED:
                answer.append(Removal.IN_FLIGHT)
            else:
                answer.append(Removal.UNREPORTED)
        answers.append(answer)
    return answers


remove: Operation[Removals, list[Removal]] = Operation("remove messages", _remove)


def _delete_parts(tx: Transaction, keys: Sequence[int]) -> None:
    """Everything else that belongs to deleted messages."""
    if not keys:
        return
    for part in _PARTS:
        tx.rows(
            f"DELETE FROM {part} WHERE message_key IN (SELECT value FROM json_each(?))",  # noqa: S608 - names above
            (values.keys_json(keys),),
        )
