"""Publish: a message's newest result becomes a row of its own, owed to every active sink."""

from __future__ import annotations

from collections.abc import Sequence

from asyncmail.store.connection import Transaction

_RESULT = """
INSERT INTO results (message_key, key, tenant_id, id, account_id, priority, generation, result_seq,
    sent_ts, error_ts, error, deferred_ts, tags, recorded_ts)
SELECT key, ?, tenant_id, id, account_id, priority, generation, result_seq,
    sent_ts, error_ts, error, deferred_ts, tags, ?
FROM messages WHERE key = ?
"""


async def publish(tx: Transaction, keys: Sequence[int], sinks: Sequence[str]) -> None:
    """Copy what the rows of ``messages`` say now, under the ``result_seq`` they have now."""
    numbers = await tx.numbers("result", len(keys))
    numbered = list(zip(numbers, keys, strict=True))
    await tx.many(_RESULT, [(number, tx.wall, key) for number, key in numbered])
    if sinks:
        await tx.many(
            "INSERT INTO reports (message_key, result_key, sink) VALUES (?, ?, ?)",
            [(key, number, sink) for number, key in numbered for sink in sinks],
        )
