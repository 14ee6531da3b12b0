"""Publish: a message's newest result becomes a row of its own, owed to every active sink."""

from __future__ import annotations

from collections.abc import Sequence

from asyncmail.store import values
from asyncmail.store.connection import Transaction

_RAISE = """
UPDATE messages SET result_seq = result_seq + 1, reported_ts = NULL, done_ts = NULL
WHERE key IN (SELECT value FROM json_each(?))
"""

_RESULT = """
INSERT INTO results (key, message_key, tenant_id, id, account_id, priority, generation, result_seq,
    sent_ts, error_ts, error, deferred_ts, tags, recorded_ts)
SELECT ?, key, tenant_id, id, account_id, priority, generation, result_seq,
    sent_ts, error_ts, error, deferred_ts, tags, ?
FROM messages WHERE key = ?
"""

_UNOWED = """
UPDATE messages SET done_ts = coalesce(sent_ts, error_ts)
WHERE key IN (SELECT value FROM json_each(?)) AND state IN ('sent', 'error')
"""


async def publish(tx: Transaction, keys: Sequence[int]) -> None:
    """Give what the rows of ``messages`` say now a new seq, and owe it to the sinks.

    Without a sink nothing is owed, and retention counts from the result's own time.
    """
    sinks = await tx.sinks()
    numbers = await tx.numbers("result", len(keys))
    await tx.rows(_RAISE, (values.keys_json(keys),))
    await tx.many(_RESULT, [(n, tx.wall, key) for n, key in zip(numbers, keys, strict=True)])
    if sinks:
        await tx.many(
            "INSERT INTO reports (message_key, result_key, sink) VALUES (?, ?, ?)",
            [(k, n, sink) for n, k in zip(numbers, keys, strict=True) for sink in sinks],
        )
    else:
        await tx.rows(_UNOWED, (values.keys_json(keys),))
