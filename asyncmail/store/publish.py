"""Publish: a message's newest result becomes a row of its own, owed to every active sink."""

from __future__ import annotations

from collections.abc import Sequence

from asyncmail.store.connection import Transaction

_RESULT = """
WITH new (message_key, key, recorded_ts) AS (VALUES {rows})
INSERT INTO results (message_key, key, tenant_id, id, account_id, priority, generation, result_seq,
    sent_ts, error_ts, error, deferred_ts, tags, recorded_ts)
SELECT m.key, new.key, m.tenant_id, m.id, m.account_id, m.priority, m.generation, m.result_seq,
    m.sent_ts, m.error_ts, m.error, m.deferred_ts, m.tags, new.recorded_ts
FROM new CROSS JOIN messages AS m ON m.key = new.message_key
"""

_OWED = """
WITH new (message_key, result_key, sink) AS (VALUES {rows})
INSERT INTO reports (message_key, result_key, sink)
SELECT * FROM new WHERE message_key IS NOT NULL
"""


def publish(tx: Transaction, keys: Sequence[int], sinks: Sequence[str]) -> None:
    """Copy what the rows of ``messages`` say now, under the ``result_seq`` they have now."""
    numbers = tx.numbers("result", len(keys))
    numbered = list(zip(numbers, keys, strict=True))
    tx.together(_RESULT, [(key, number, tx.wall) for number, key in numbered])
    if sinks:
        tx.together(
            _OWED,
            [(key, number, sink) for number, key in numbered for sink in sinks],
        )
