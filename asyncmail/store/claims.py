"""Claims: the right to send a message, given to one owner under a random token, and taken back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from asyncmail.model import Message, Priority
from asyncmail.store import limits, values
from asyncmail.store.base import Claim, Claims, Lane, Pick
from asyncmail.store.connection import Transaction
from asyncmail.store.limits import Room
from asyncmail.store.writer import Operation, Rank

Token = Callable[[], str]  # where random tokens come from

LARGE = 16_384  # bytes of a payload

_STATE = """
SELECT value AS active, EXISTS (
    SELECT 1 FROM accounts WHERE coalesce(per_minute, per_hour, per_day) IS NOT NULL) AS limited
FROM meta WHERE name = 'active'
"""

_FIRST_READY = """
SELECT json_group_array(json_array(key, size)) FROM (
    SELECT key, size FROM messages
    WHERE state = 'ready' AND tenant_id = ? AND account_id = ? AND priority BETWEEN ? AND ?
    ORDER BY priority, arrival LIMIT ?)
"""

_CLAIM = """
UPDATE messages SET state = 'claimed', claim_token = ?, claim_unit = ?,
    claim_hold = coalesce(hold, ?), claim_intent = 0, claim_orphan = (state = 'orphaned'), due = NULL,
    deferred_ts = NULL, updated_at = ?
WHERE key IN (%s)
"""
_CLAIM_READY = (
    _CLAIM
    % """
    SELECT m.key FROM json_each(?) AS wanted JOIN messages AS m ON m.key = wanted.value
    WHERE m.state = 'ready'
"""
)
_CHOSEN = """
    SELECT m.key FROM messages AS m JOIN json_each(?) AS wanted ON m.key = wanted.value
    WHERE m.state IN ('ready', 'scheduled', 'retry')
"""
_ORPHAN = """
    AND NOT EXISTS (SELECT 1 FROM accounts AS a WHERE a.tenant_id = m.tenant_id AND a.id = m.account_id)
    OR m.state = 'orphaned'
"""
_CLAIM_CHOSEN = _CLAIM % _CHOSEN + "RETURNING key"
_CLAIM_ORPHANS = _CLAIM % (_CHOSEN + _ORPHAN) + "RETURNING key"

_RESCUE = """
UPDATE messages SET claim_token = ?, claim_unit = 0
WHERE state = 'claimed' AND claim_token IS NULL RETURNING key
"""

_HELD = "SELECT tenant_id, account_id FROM messages WHERE state = 'claimed' AND claim_unit"

_UNCLAIM = """
UPDATE messages SET state = iif(claim_orphan, 'orphaned', 'ready'), claim_token = NULL, claim_unit = 0,
    claim_intent = 0
WHERE state = 'claimed' AND key = ? AND claim_token = ?
"""

_WITHOUT_UNIT = """
UPDATE messages SET claim_unit = 0 WHERE key IN (SELECT value FROM json_each(?))
"""

# The keys of those that are at hand come as negative numbers. Large payloads are read on their own: text
# within text within text would hold each of them three times.
_CLAIMED = f"""
SELECT json_group_array(json_array(m.key, m.tenant_id, m.account_id, m.id, m.generation, m.priority,
    m.size, p.payload, m.created_ts, m.ready_ts, m.expires_ts, m.claim_hold, m.attempts, m.uncertain,
    m.rescues, m.unexpected, s.outcomes, d.digests, m.claim_intent))
FROM json_each(?) AS wanted CROSS JOIN messages AS m ON m.key = abs(wanted.value)
LEFT JOIN payloads AS p ON p.message_key = wanted.value AND m.size <= {LARGE}
LEFT JOIN settled AS s ON s.message_key = m.key
LEFT JOIN digests AS d ON d.message_key = m.key
WHERE m.state = 'claimed' AND m.claim_token = ?
"""  # noqa: S608 - a number of ours

_LARGE = """
SELECT message_key, payload FROM payloads WHERE message_key IN (SELECT value FROM json_each(?))
"""

_OWNED = """
SELECT m.key, m.claim_token FROM json_each(?) AS wanted
JOIN messages AS m ON m.key = json_extract(wanted.value, '$[0]')
    AND m.claim_token = json_extract(wanted.value, '$[1]')
WHERE m.state = 'claimed'
"""


@dataclass(frozen=True, slots=True)
class Wish:
    """What one caller of ``claim`` asks for."""

    picks: Iterable[Pick]
    max_bytes: int
    token: str


def _made_up(wish: Wish) -> Wish:
    """With the picks as they are now."""
    return replace(wish, picks=tuple(wish.picks))


@dataclass(frozen=True, slots=True)
class Chosen:
    """Messages to be claimed by key, for a purpose that sends nothing.

    ``orphans``: only those that a deleted account left, or whose account still does not exist.
    """

    keys: Sequence[int]
    token: str
    orphans: bool = False


# --- claim by lanes ------------------------------------------------------------------------------


def _claim(tx: Transaction, wishes: Sequence[Wish]) -> list[Claims]:
    [state] = tx.rows(_STATE)
    if not state["active"]:
        return [Claims((), frozenset()) for _ in wishes]
    lanes = {pick.lane for wish in wishes for pick in wish.picks}
    rooms = limits.rooms(tx, lanes) if state["limited"] else {}
    return [_grant(tx, wish, rooms) for wish in wishes]


claim: Operation[Wish, Claims] = Operation("claim", _claim, Rank.CLAIMS, ready=_made_up)


def _grant(tx: Transaction, wish: Wish, rooms: Mapping[Lane, Room]) -> Claims:
    taken: list[int] = []
    exhausted: set[Lane] = set()
    left = wish.max_bytes
    cut_short = False
    for pick in wish.picks:
        found = _first_ready(tx, pick)
        fitting = _fitting(found, left, first=not taken)
        is_all = len(found) < pick.count and fitting == len(found)
        if is_all and Priority.IMMEDIATE in pick.priorities:
            exhausted.add(pick.lane)
        keys = [key for key, _ in found[:fitting]]
        claimed = (wish.token, 1, int(pick.hold), int(tx.wall), values.keys_json(keys))
        tx.rows(_CLAIM_READY, claimed)
        taken += keys
        left -= sum(size for _, size in found[:fitting])
        if left <= 0 or fitting < len(found):
            cut_short = True
            break
    granted = _within_limits(tx, _claimed(tx, taken, wish.token), rooms)
    return Claims(granted, frozenset(exhausted), cut_short)


def _first_ready(tx: Transaction, pick: Pick) -> list[tuple[int, int]]:
    """Key and size of the lane's first ready messages, by priority and arrival."""
    found: list[tuple[int, int]] = []
    lane = (pick.lane.tenant_id, pick.lane.account_id)
    for low, high in _runs(pick.priorities):
        want = pick.count - len(found)
        if want > 0:
            found += tx.gathered(_FIRST_READY, (*lane, low, high, want))
    return found


def _runs(priorities: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Priorities as (first, last) of runs without a gap: one walk along the index each."""
    ordered = sorted(set(priorities))
    for _, run in groupby(enumerate(ordered), key=lambda pair: pair[1] - pair[0]):
        members = [priority for _, priority in run]
        yield members[0], members[-1]


def _fitting(found: Sequence[tuple[int, int]], max_bytes: int, *, first: bool) -> int:
    """How many of these stay within the bytes; the very first message always does."""
    total = 0
    for count, (_, size) in enumerate(found):
        total += size
        if total > max_bytes and not (first and count == 0):
            return count
    return len(found)


def _within_limits(
    tx: Transaction, claims: Sequence[Claim], rooms: Mapping[Lane, Room]
) -> list[Claim]:
    """Give units as far as they go; the rest is over the limit and holds none."""
    granted: list[Claim] = []
    over: list[int] = []
    for one in claims:
        room = rooms.get(one.lane)
        if room is None or room.take():
            granted.append(one)
        else:
            granted.append(replace(one, over_limit=True, limited_until=room.until))
            over.append(one.key)
    if over:
        tx.rows(_WITHOUT_UNIT, (values.keys_json(over),))
    return granted


# --- claim to end or to rescue -------------------------------------------------------------------


def _claim_keys(tx: Transaction, choices: Sequence[Chosen]) -> list[list[Claim]]:
    answers: list[list[Claim]] = []
    for choice in choices:
        parameters = (choice.token, 0, 0, int(tx.wall), values.keys_json(choice.keys))
        rows = tx.rows(_CLAIM_ORPHANS if choice.orphans else _CLAIM_CHOSEN, parameters)
        answers.append(_claimed(tx, sorted(row["key"] for row in rows), choice.token))
    return answers


claim_keys: Operation[Chosen, list[Claim]] = Operation("claim by key", _claim_keys, Rank.CLAIMS)


def _rescue(tx: Transaction, tokens: Sequence[str]) -> list[list[Claim]]:
    """What the dead owner held goes to the first caller; its units count as used now."""
    units: dict[Lane, int] = {}
    for row in tx.rows(f"{_HELD} AND claim_token IS NULL"):
        lane = Lane(row["tenant_id"], row["account_id"])
        units[lane] = units.get(lane, 0) + 1
    limits.use(tx, units)
    keys = sorted(row["key"] for row in tx.rows(_RESCUE, (tokens[0],)))
    return [_claimed(tx, keys, tokens[0]), *([] for _ in tokens[1:])]


rescue: Operation[str, list[Claim]] = Operation("rescue", _rescue, Rank.CLAIMS)


def disown(tx: Transaction) -> None:
    """End the authority of every claim: their owner held the lock, and the lock is ours.

    What was claimed only to end it was not in flight.
    """
    tx.rows("UPDATE messages SET state = 'orphaned' WHERE state = 'claimed' AND claim_orphan")
    tx.rows("UPDATE messages SET claim_token = NULL WHERE state = 'claimed'")


# --- what an owner may do ------------------------------------------------------------------------


def _release(tx: Transaction, groups: Sequence[Sequence[Claim]]) -> list[None]:
    tx.many(_UNCLAIM, [(one.key, one.token) for group in groups for one in group])
    return [None for _ in groups]


release: Operation[Sequence[Claim], None] = Operation("release", _release, Rank.CLAIMS)


def _mark_intent(tx: Transaction, claims: Sequence[Claim]) -> list[bool]:
    owned = _owned(tx, claims)
    tx.many(
        "UPDATE messages SET claim_intent = 1 WHERE key = ? AND claim_token = ?",
        [(one.key, one.token) for one in claims],
    )
    return [(one.key, one.token) in owned for one in claims]


mark_intent: Operation[Claim, bool] = Operation("mark intent", _mark_intent, Rank.CLAIMS)


def _keep_digests(tx: Transaction, wanted: Sequence[tuple[Claim, Mapping[str, str]]]) -> list[bool]:
    owned = _owned(tx, [one for one, _ in wanted])
    tx.many(
        "INSERT INTO digests (message_key, digests) VALUES (?, ?) "
        "ON CONFLICT DO UPDATE SET digests = json_patch(excluded.digests, digests.digests)",
        [(one.key, json.dumps(dict(d))) for one, d in wanted if (one.key, one.token) in owned],
    )
    return [(one.key, one.token) in owned for one, _ in wanted]


keep_digests: Operation[tuple[Claim, Mapping[str, str]], bool] = Operation(
    "keep digests", _keep_digests, Rank.CLAIMS
)


def _owned(tx: Transaction, claims: Sequence[Claim]) -> set[tuple[int, str]]:
    """Key and token of those claims that still hold."""
    wanted = json.dumps([[one.key, one.token] for one in claims])
    return {(r["key"], r["claim_token"]) for r in tx.rows(_OWNED, (wanted,))}


def _claimed(tx: Transaction, keys: Sequence[int], token: str) -> list[Claim]:
    """The claims under this token, in the order of the keys, with all that is known of each."""
    if not keys:
        return []
    fresh = {key: new for key in keys if (new := tx.fresh.take(key)) is not None}
    wanted = values.keys_json(-key if key in fresh else key for key in keys)
    rows = tx.gathered(_CLAIMED, (wanted, token))
    unread = [row[0] for row in rows if row[7] is None and row[0] not in fresh]
    large: dict[int, str] = {}
    if unread:
        rows_of_large = tx.rows(_LARGE, (values.keys_json(unread),))
        large = {row["message_key"]: row["payload"] for row in rows_of_large}
    return [_claim_from(row, token, fresh.get(row[0]), large.get(row[0])) for row in rows]


def _claim_from(row: Sequence[Any], token: str, fresh: Message | None, large: str | None) -> Claim:
    key, tenant_id, account_id, id, generation, priority, size, payload = row[:8]
    created_ts, ready_ts, expires_ts, hold, attempts, uncertain = row[8:14]
    rescues, unexpected, outcomes, digests, intent = row[14:]
    return Claim(
        key,
        token,
        Lane(tenant_id, account_id),
        id,
        generation,
        priority,
        size,
        payload or large or "",
        created_ts,
        ready_ts,
        expires_ts,
        bool(hold),
        attempts,
        uncertain,
        rescues,
        unexpected,
        values.settled_from(outcomes),
        json.loads(digests) if digests else {},
        dot_may_have_left=bool(intent),
        message=fresh,
    )
