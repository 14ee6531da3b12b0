"""Accept: new messages, new generations of failed ones, replacements, and duplicates."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from asyncmail.failpoints import failpoint
from asyncmail.model import Disposition
from asyncmail.store import publish, values
from asyncmail.store.base import Addition, NewMessage
from asyncmail.store.connection import Row, Transaction
from asyncmail.store.writer import Operation, Rank

Name = tuple[str, str]  # tenant id, message id

_KNOWN = """
SELECT m.key, m.tenant_id, m.id, m.state, m.done_ts, s.outcomes
FROM json_each(?) AS wanted
JOIN messages AS m ON m.tenant_id = json_extract(wanted.value, '$[0]')
    AND m.id = json_extract(wanted.value, '$[1]')
LEFT JOIN settled AS s ON s.message_key = m.key
"""

_INSERT = """
WITH new (key, arrival, tenant_id, id, account_id, priority, state, due, deferred_ts, ready_ts,
    expires_ts, hold, size, tags, created_ts, updated_at) AS (VALUES {rows})
INSERT INTO messages (key, arrival, tenant_id, id, account_id, priority, state, due, deferred_ts,
    ready_ts, expires_ts, hold, size, tags, created_ts, updated_at)
SELECT * FROM new WHERE key IS NOT NULL
"""

_INSERT_PAYLOAD = """
WITH new (message_key, payload) AS (VALUES {rows})
INSERT INTO payloads (message_key, payload) SELECT * FROM new WHERE message_key IS NOT NULL
"""

_CONTENT = """account_id = ?, priority = ?, state = ?, due = ?, deferred_ts = ?, ready_ts = ?,
    expires_ts = ?, hold = ?, size = ?, tags = ?, created_ts = ?, updated_at = ?"""

_REPLACE = f"""
UPDATE messages SET {_CONTENT} WHERE key = ?
    AND state IN ('ready', 'scheduled', 'retry', 'orphaned')
"""  # noqa: S608 - column names of ours

_REGENERATE = f"""
UPDATE messages SET {_CONTENT}, arrival = ?, generation = generation + 1, attempts = 0,
    uncertain = 0, rescues = 0, unexpected = 0, sent_ts = NULL, error_ts = NULL, error = NULL,
    reported_ts = NULL, done_ts = NULL
WHERE key = ? AND state = 'error'
"""  # noqa: S608 - column names of ours


_OWED_AGAIN = """
UPDATE messages SET result_seq = result_seq + 1, reported_ts = NULL, done_ts = NULL
WHERE key IN (SELECT value FROM json_each(?))
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one caller hands in."""

    messages: Sequence[NewMessage]
    replace: bool = False


def _add(tx: Transaction, batches: Sequence[Batch]) -> list[list[Addition]]:
    names = [[m.tenant_id, m.id] for batch in batches for m in batch.messages]
    known = {(r["tenant_id"], r["id"]): r for r in tx.rows(_KNOWN, (json.dumps(names),))}
    plan = _Plan(known)
    answers = [[plan.decide(m, replace=b.replace) for m in b.messages] for b in batches]
    _carry_out(tx, plan)
    failpoint("accept.in_tx")
    return answers


add: Operation[Batch, list[Addition]] = Operation("add", _add, Rank.ACCEPTS)


class _Plan:
    """What is to be done, decided for all batches before anything is written."""

    def __init__(self, known: dict[Name, Row]) -> None:
        self._known = known
        self._taken: set[Name] = set()  # by an earlier message of this transaction
        self.fresh: list[NewMessage] = []
        self.again: list[tuple[Row, NewMessage]] = []
        self.replaced: list[tuple[Row, NewMessage]] = []
        self.told_again: dict[int, None] = {}  # keys of sent ones, to be reported once more

    def decide(self, message: NewMessage, *, replace: bool) -> Addition:
        name = (message.tenant_id, message.id)
        if name in self._taken:
            return Addition.QUEUED
        row = self._known.get(name)
        if row is None:
            self.fresh.append(message)
        elif row["state"] == values.ERROR:
            self.again.append((row, message))
        else:
            return self._duplicate(name, row, message, replace=replace)
        self._taken.add(name)
        return Addition.STORED

    def _duplicate(self, name: Name, row: Row, message: NewMessage, *, replace: bool) -> Addition:
        if row["state"] == values.CLAIMED:
            return Addition.SENDING
        if row["state"] == values.SENT:
            if row["done_ts"] is not None:
                self.told_again[row["key"]] = None
            return Addition.SENT
        if not replace:
            return Addition.QUEUED
        self.replaced.append((row, message))
        self._taken.add(name)
        return Addition.REPLACED


def _carry_out(tx: Transaction, plan: _Plan) -> None:
    count = len(plan.fresh) + len(plan.again)
    numbers = iter(tx.numbers("arrival", count) if count else ())
    if plan.fresh:
        _insert(tx, plan.fresh, numbers)
    if plan.again:
        rows = [(*_content(tx, m), next(numbers), r["key"]) for r, m in plan.again]
        tx.many(_REGENERATE, rows)
    if plan.replaced:
        tx.many(_REPLACE, [(*_content(tx, m), r["key"]) for r, m in plan.replaced])
    changed = plan.again + plan.replaced
    if changed:
        _renew(tx, changed)
    if plan.told_again:
        _tell_again(tx, list(plan.told_again))
    tx.pending += count


def _tell_again(tx: Transaction, keys: Sequence[int]) -> None:
    """A client that sent an id again does not know its result: it is owed once more."""
    sinks = tx.sinks()
    if sinks:
        tx.rows(_OWED_AGAIN, (values.keys_json(keys),))
        publish.publish(tx, keys, sinks)


def _insert(tx: Transaction, fresh: Sequence[NewMessage], numbers: Iterator[int]) -> None:
    messages: list[tuple[Any, ...]] = []
    payloads: list[tuple[int, str]] = []
    for message in fresh:
        key = next(numbers)
        messages.append((key, key, message.tenant_id, message.id, *_content(tx, message)))
        if message.message is not None and message.deferred_ts is None:
            tx.accepted.append((key, message))
        payloads.append((key, message.payload))
    tx.together(_INSERT, messages)
    tx.together(_INSERT_PAYLOAD, payloads)


def _renew(tx: Transaction, changed: Sequence[tuple[Row, NewMessage]]) -> None:
    """New content in the place of old; who has the old one already never gets the new one."""
    for row, _ in changed:
        tx.fresh.take(row["key"])
    tx.many(
        "UPDATE payloads SET payload = ? WHERE message_key = ?",
        [(message.payload, row["key"]) for row, message in changed],
    )
    keys = values.keys_json(row["key"] for row, _ in changed)
    for table in ("digests", "settled"):
        tx.rows(
            f"DELETE FROM {table} WHERE message_key IN (SELECT value FROM json_each(?))",  # noqa: S608 - names above
            (keys,),
        )
    reached = [
        (row["key"], values.outcomes_text(kept))
        for row, _ in changed
        if (kept := [o for o in values.outcomes_from(row["outcomes"]) if _reached(o.disposition)])
    ]
    if reached:
        tx.many("INSERT INTO settled (message_key, outcomes) VALUES (?, ?)", reached)


def _reached(disposition: Disposition) -> bool:
    return disposition is Disposition.ACCEPTED


def _content(tx: Transaction, message: NewMessage) -> tuple[Any, ...]:
    """The columns from ``account_id`` to ``updated_at``."""
    due = message.deferred_ts
    if due is not None and due <= tx.wall:
        due = None
    return (
        message.account_id,
        message.priority,
        values.READY if due is None else values.SCHEDULED,
        due,
        values.whole(due),
        tx.steady + (0.0 if due is None else due - tx.wall),
        message.expires_ts,
        message.hold,
        len(message.payload.encode()),
        values.tags_text(message.tags),
        message.created_ts,
        int(tx.wall),
    )
