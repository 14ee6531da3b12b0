"""Results: what became of claimed messages, recorded by their owners alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from asyncmail.failpoints import failpoint
from asyncmail.store import limits, publish, values
from asyncmail.store.base import Result
from asyncmail.store.connection import Row, Transaction
from asyncmail.store.writer import Operation, Rank

_OWNED = """
SELECT m.key, m.claim_token, m.claim_unit, m.generation, m.recorded, s.message_key IS NOT NULL AS settled
FROM json_each(?) AS wanted JOIN messages AS m ON m.key = wanted.value
LEFT JOIN settled AS s ON s.message_key = m.key
WHERE m.state = 'claimed'
"""

_RECORD = """
UPDATE messages SET state = ?, due = ?, deferred_ts = ?, sent_ts = ?, error_ts = ?, error = ?,
    attempts = ?, uncertain = ?, rescues = ?, unexpected = ?, recorded = recorded + 1,
    claim_token = NULL, claim_unit = 0, claim_intent = 0, updated_at = ?,
    result_seq = result_seq + ?, done_ts = ?
WHERE key = ? AND claim_token = ?
"""

_ATTEMPT = """
INSERT INTO attempts (message_key, number, generation, started_ts, ended_ts, outcome, uncertain,
    error, recipients) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


async def _record(tx: Transaction, groups: Sequence[Sequence[Result]]) -> list[list[bool]]:
    wanted = values.keys_json(result.key for group in groups for result in group)
    owned = {row["key"]: row for row in await tx.rows(_OWNED, (wanted,))}
    kept: dict[int, Result] = {}
    answers = [[_take(result, owned, kept) for result in group] for group in groups]
    if not kept:
        return answers
    results = list(kept.values())
    sinks = await tx.sinks()
    await tx.many(_RECORD, [_columns(tx, result, owed=bool(sinks)) for result in results])
    await _keep_attempts(tx, results, owned)
    await _keep_settled(tx, results, owned)
    told = [result.key for result in results if _is_told(result)]
    if told:
        await publish.publish(tx, told, sinks)
    # A rescued claim holds no unit any more: it was counted when it was rescued.
    units = Counter(r.lane for r in results if r.unit_used and owned[r.key]["claim_unit"])
    if units:
        await limits.use(tx, units)
    tx.pending -= sum(_is_final(result) for result in results)
    failpoint("result.in_batch")
    return answers


record: Operation[Sequence[Result], list[bool]] = Operation(
    "record results", _record, Rank.RESULTS, patient=True
)


def _take(result: Result, owned: dict[int, Row], kept: dict[int, Result]) -> bool:
    """Whether the claim still holds; of two results for one claim the first is its end."""
    row = owned.get(result.key)
    if row is None or row["claim_token"] != result.token or result.key in kept:
        return False
    kept[result.key] = result
    return True


def _is_final(result: Result) -> bool:
    return result.sent_ts is not None or result.error_ts is not None


def _is_told(result: Result) -> bool:
    return result.report or _is_final(result)


def _columns(tx: Transaction, result: Result, *, owed: bool) -> tuple[Any, ...]:
    """``owed``: a sink will have to acknowledge it; else retention counts from the result itself."""
    if result.sent_ts is not None:
        state = values.SENT
    elif result.error_ts is not None:
        state = values.ERROR
    else:
        state = values.READY if result.due is None else values.RETRY
    return (
        state,
        result.due,
        values.whole(result.deferred_ts),
        values.whole(result.sent_ts),
        values.whole(result.error_ts),
        result.error,
        result.attempts,
        result.uncertain,
        result.rescues,
        result.unexpected,
        int(tx.wall),
        int(_is_told(result)),
        None if owed else (result.sent_ts or result.error_ts),
        result.key,
        result.token,
    )


async def _keep_attempts(tx: Transaction, results: Sequence[Result], owned: dict[int, Row]) -> None:
    rows = [
        (
            result.key,
            owned[result.key]["recorded"] + 1,
            owned[result.key]["generation"],
            attempt.started_ts,
            attempt.ended_ts,
            attempt.outcome,
            int(attempt.uncertain),
            attempt.error,
            values.outcomes_text(attempt.recipients),
        )
        for result in results
        if (attempt := result.attempt) is not None
    ]
    if rows:
        await tx.many(_ATTEMPT, rows)


async def _keep_settled(tx: Transaction, results: Sequence[Result], owned: dict[int, Row]) -> None:
    """Kept only where the message is not sent to all: a next attempt or generation needs it."""
    kept = [
        (result.key, values.outcomes_text(result.settled.values()))
        for result in results
        if result.settled and result.sent_ts is None
    ]
    if kept:
        await tx.many(
            "INSERT INTO settled (message_key, outcomes) VALUES (?, ?) "
            "ON CONFLICT DO UPDATE SET outcomes = excluded.outcomes",
            kept,
        )
    through = [
        result.key
        for result in results
        if result.sent_ts is not None and owned[result.key]["settled"]
    ]
    if through:
        await tx.rows(
            "DELETE FROM settled WHERE message_key IN (SELECT value FROM json_each(?))",
            (values.keys_json(through),),
        )
