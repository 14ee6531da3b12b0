"""Results: what became of claimed messages, recorded by their owners alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from asyncmail.failpoints import failpoint
from asyncmail.store import limits, publish, values
from asyncmail.store.base import Result
from asyncmail.store.connection import Transaction
from asyncmail.store.writer import Operation, Rank

_OWNED = """
SELECT json_group_array(json_array(
    m.key, m.claim_token, m.claim_unit, m.generation, m.recorded, s.message_key IS NOT NULL))
FROM json_each(?) AS wanted CROSS JOIN messages AS m ON m.key = wanted.value
LEFT JOIN settled AS s ON s.message_key = m.key
WHERE m.state = 'claimed'
"""

_RECORD = """
WITH new (key, token, state, due, deferred_ts, sent_ts, error_ts, error, attempts, uncertain, rescues,
    unexpected, told, done_ts, updated_at) AS (VALUES {rows})
UPDATE messages SET state = new.state, due = new.due, deferred_ts = new.deferred_ts,
    sent_ts = new.sent_ts, error_ts = new.error_ts, error = new.error, attempts = new.attempts,
    uncertain = new.uncertain, rescues = new.rescues, unexpected = new.unexpected,
    recorded = recorded + 1, claim_token = NULL, claim_unit = 0, claim_intent = 0,
    result_seq = result_seq + new.told, done_ts = new.done_ts, updated_at = new.updated_at
FROM new WHERE messages.key = new.key AND messages.claim_token = new.token
"""

_ATTEMPT = """
WITH new (message_key, number, generation, started_ts, ended_ts, outcome, uncertain, error,
    recipients) AS (VALUES {rows})
INSERT INTO attempts (message_key, number, generation, started_ts, ended_ts, outcome, uncertain,
    error, recipients)
SELECT * FROM new WHERE message_key IS NOT NULL
"""


class _Owned(NamedTuple):
    """A claim that still holds, as the database knows it."""

    key: int
    token: str
    unit: int
    generation: int
    recorded: int  # outcomes so far
    settled: int  # whether recipients are kept


def _record(tx: Transaction, groups: Sequence[Iterable[Result]]) -> list[list[bool]]:
    wanted = values.keys_json(result.key for group in groups for result in group)
    owned = {row[0]: _Owned(*row) for row in tx.gathered(_OWNED, (wanted,))}
    kept: dict[int, Result] = {}
    answers = [[_take(result, owned, kept) for result in group] for group in groups]
    if not kept:
        return answers
    results = list(kept.values())
    sinks = tx.sinks()
    tx.together(_RECORD, [_columns(tx, result, owed=bool(sinks)) for result in results])
    _keep_attempts(tx, results, owned)
    _keep_settled(tx, results, owned)
    told = [result.key for result in results if _is_told(result)]
    if told:
        publish.publish(tx, told, sinks)
    # A rescued claim holds no unit any more: it was counted when it was rescued.
    units = Counter(r.lane for r in results if r.unit_used and owned[r.key].unit)
    if units:
        limits.use(tx, units)
    tx.pending -= sum(_is_final(result) for result in results)
    failpoint("result.in_batch")
    return answers


record: Operation[Iterable[Result], list[bool]] = Operation(
    "record results", _record, Rank.RESULTS, patient=True, ready=tuple
)


def _take(result: Result, owned: dict[int, _Owned], kept: dict[int, Result]) -> bool:
    """Whether the claim still holds; of two results for one claim the first is its end."""
    row = owned.get(result.key)
    if row is None or row.token != result.token or result.key in kept:
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
        result.key,
        result.token,
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
        int(_is_told(result)),
        None if owed else (result.sent_ts or result.error_ts),
        int(tx.wall),
    )


def _keep_attempts(tx: Transaction, results: Sequence[Result], owned: dict[int, _Owned]) -> None:
    rows = [
        (
            result.key,
            owned[result.key].recorded + 1,
            owned[result.key].generation,
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
        tx.together(_ATTEMPT, rows)


def _keep_settled(tx: Transaction, results: Sequence[Result], owned: dict[int, _Owned]) -> None:
    """Kept only where the message is not sent to all: a next attempt or generation needs it."""
    kept = [
        (result.key, values.outcomes_text(result.settled.values()))
        for result in results
        if result.settled and result.sent_ts is None
    ]
    if kept:
        tx.many(
            "INSERT INTO settled (message_key, outcomes) VALUES (?, ?) "
            "ON CONFLICT DO UPDATE SET outcomes = excluded.outcomes",
            kept,
        )
    through = [
        result.key for result in results if result.sent_ts is not None and owned[result.key].settled
    ]
    if through:
        tx.rows(
            "DELETE FROM settled WHERE message_key IN (SELECT value FROM json_each(?))",
            (values.keys_json(through),),
        )
