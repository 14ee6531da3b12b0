"""Claims: the right to send a message, given to one owner under a random token, and taken back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from asyncmail.model import Priority
from asyncmail.store import limits, values
from asyncmail.store.base import Claim, Claims, Lane, Pick
from asyncmail.store.connection import Row, Transaction
from asyncmail.store.limits import Room
from asyncmail.store.writer import Operation, Rank

Token = Callable[[], str]  # where random tokens come from

_COLUMNS = """key, tenant_id, account_id, id, generation, priority, arrival, size, created_ts,
    ready_ts, expires_ts, claim_hold, claim_intent, claim_unit, attempts, uncertain, rescues,
    unexpected"""

_CLAIM = f"""
UPDATE messages SET state = 'claimed', claim_token = ?, claim_unit = ?,
    claim_hold = coalesce(hold, ?), claim_intent = 0, claim_orphan = (state = 'orphaned'), due = NULL,
    deferred_ts = NULL, updated_at = ?
WHERE key IN (%s)
RETURNING {_COLUMNS}
"""  # noqa: S608 - column names of ours

_CLAIM_READY = (
    _CLAIM
    % """
    SELECT key FROM messages
    WHERE state = 'ready' AND tenant_id = ? AND account_id = ? AND priority BETWEEN ? AND ?
    ORDER BY priority, arrival LIMIT ?
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
_CLAIM_CHOSEN = _CLAIM % _CHOSEN
_CLAIM_ORPHANS = _CLAIM % (_CHOSEN + _ORPHAN)

_RESCUE = f"""
UPDATE messages SET claim_token = ?, claim_unit = 0
WHERE state = 'claimed' AND claim_token IS NULL RETURNING {_COLUMNS}
"""  # noqa: S608 - column names of ours

_HELD = "SELECT tenant_id, account_id FROM messages WHERE state = 'claimed' AND claim_unit"

_UNCLAIM = """
UPDATE messages SET state = iif(claim_orphan, 'orphaned', 'ready'), claim_token = NULL, claim_unit = 0,
    claim_intent = 0
WHERE state = 'claimed' AND key = ? AND claim_token = ?
"""

_WITHOUT_UNIT = """
UPDATE messages SET claim_unit = 0 WHERE key IN (SELECT value FROM json_each(?))
"""

_CONTENTS = """
SELECT p.message_key, p.payload, s.outcomes, d.digests
FROM json_each(?) AS wanted JOIN payloads AS p ON p.message_key = wanted.value
LEFT JOIN settled AS s ON s.message_key = p.message_key
LEFT JOIN digests AS d ON d.message_key = p.message_key
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

    picks: Sequence[Pick]
    max_bytes: int
    token: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """Messages to be claimed by key, for a purpose that sends nothing.

    ``orphans``: only those that a deleted account left, or whose account still does not exist.
    """

    keys: Sequence[int]
    token: str
    orphans: bool = False


# --- claim by lanes ------------------------------------------------------------------------------


async def _claim(tx: Transaction, wishes: Sequence[Wish]) -> list[Claims]:
    active = await tx.rows("SELECT value FROM meta WHERE name = 'active'")
    if not active[0]["value"]:
        return [Claims((), frozenset()) for _ in wishes]
    lanes = {pick.lane for wish in wishes for pick in wish.picks}
    rooms = await limits.rooms(tx, lanes)
    return [await _grant(tx, wish, rooms) for wish in wishes]


claim: Operation[Wish, Claims] = Operation("claim", _claim, Rank.CLAIMS)


async def _grant(tx: Transaction, wish: Wish, rooms: Mapping[Lane, Room]) -> Claims:
    taken: list[Row] = []
    exhausted: set[Lane] = set()
    left = wish.max_bytes
    cut_short = False
    for pick in wish.picks:
        found = await _pick(tx, pick, wish.token)
        if len(found) < pick.count and Priority.IMMEDIATE in pick.priorities:
            exhausted.add(pick.lane)
        fitting = _fitting(found, left, first=not taken)
        taken += found[:fitting]
        left -= sum(row["size"] for row in found[:fitting])
        if fitting < len(found):
            await tx.many(_UNCLAIM, [(row["key"], wish.token) for row in found[fitting:]])
            exhausted.discard(pick.lane)
        if left <= 0 or fitting < len(found):
            cut_short = True
            break
    claims = await _complete(tx, taken, wish.token)
    granted = await _within_limits(tx, claims, rooms)
    return Claims(granted, frozenset(exhausted), cut_short)


async def _pick(tx: Transaction, pick: Pick, token: str) -> list[Row]:
    """The lane's first ready messages, by priority and arrival, claimed."""
    found: list[Row] = []
    for low, high in _runs(pick.priorities):
        want = pick.count - len(found)
        if want <= 0:
            break
        claimed = (token, 1, int(pick.hold), int(tx.wall))
        lane = (pick.lane.tenant_id, pick.lane.account_id)
        rows = await tx.rows(_CLAIM_READY, (*claimed, *lane, low, high, want))
        found += sorted(rows, key=lambda row: (row["priority"], row["arrival"]))
    return found


def _runs(priorities: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Priorities as (first, last) of runs without a gap: one walk along the index each."""
    ordered = sorted(set(priorities))
    for _, run in groupby(enumerate(ordered), key=lambda pair: pair[1] - pair[0]):
        members = [priority for _, priority in run]
        yield members[0], members[-1]


def _fitting(rows: Sequence[Row], max_bytes: int, *, first: bool) -> int:
    """How many of these stay within the bytes; the very first message always does."""
    total = 0
    for count, row in enumerate(rows):
        total += row["size"]
        if total > max_bytes and not (first and count == 0):
            return count
    return len(rows)


async def _within_limits(
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
        await tx.rows(_WITHOUT_UNIT, (values.keys_json(over),))
    return granted


# --- claim to end or to rescue -------------------------------------------------------------------


async def _claim_keys(tx: Transaction, choices: Sequence[Chosen]) -> list[list[Claim]]:
    answers: list[list[Claim]] = []
    for choice in choices:
        parameters = (choice.token, 0, 0, int(tx.wall), values.keys_json(choice.keys))
        rows = await tx.rows(_CLAIM_ORPHANS if choice.orphans else _CLAIM_CHOSEN, parameters)
        rows.sort(key=lambda row: row["arrival"])
        answers.append(await _complete(tx, rows, choice.token))
    return answers


claim_keys: Operation[Chosen, list[Claim]] = Operation("claim by key", _claim_keys, Rank.CLAIMS)


async def _rescue(tx: Transaction, tokens: Sequence[str]) -> list[list[Claim]]:
    """What the dead owner held goes to the first caller; its units count as used now."""
    units: dict[Lane, int] = {}
    for row in await tx.rows(f"{_HELD} AND claim_token IS NULL"):
        lane = Lane(row["tenant_id"], row["account_id"])
        units[lane] = units.get(lane, 0) + 1
    await limits.use(tx, units)
    rows = await tx.rows(_RESCUE, (tokens[0],))
    rows.sort(key=lambda row: row["arrival"])
    return [await _complete(tx, rows, tokens[0]), *([] for _ in tokens[1:])]


rescue: Operation[str, list[Claim]] = Operation("rescue", _rescue, Rank.CLAIMS)


async def disown(tx: Transaction) -> None:
    """End the authority of every claim: their owner held the lock, and the lock is ours.

    What was claimed only to end it was not in flight.
    """
    await tx.rows("UPDATE messages SET state = 'orphaned' WHERE state = 'claimed' AND claim_orphan")
    await tx.rows("UPDATE messages SET claim_token = NULL WHERE state = 'claimed'")


# --- what an owner may do ------------------------------------------------------------------------


async def _release(tx: Transaction, groups: Sequence[Sequence[Claim]]) -> list[None]:
    await tx.many(_UNCLAIM, [(one.key, one.token) for group in groups for one in group])
    return [None for _ in groups]


release: Operation[Sequence[Claim], None] = Operation("release", _release, Rank.CLAIMS)


async def _mark_intent(tx: Transaction, claims: Sequence[Claim]) -> list[bool]:
    owned = await _owned(tx, claims)
    await tx.many(
        "UPDATE messages SET claim_intent = 1 WHERE key = ? AND claim_token = ?",
        [(one.key, one.token) for one in claims],
    )
    return [(one.key, one.token) in owned for one in claims]


mark_intent: Operation[Claim, bool] = Operation("mark intent", _mark_intent, Rank.CLAIMS)


async def _keep_digests(
    tx: Transaction, wanted: Sequence[tuple[Claim, Mapping[str, str]]]
) -> list[bool]:
    owned = await _owned(tx, [one for one, _ in wanted])
    await tx.many(
        "INSERT INTO digests (message_key, digests) VALUES (?, ?) "
        "ON CONFLICT DO UPDATE SET digests = json_patch(excluded.digests, digests.digests)",
        [(one.key, json.dumps(dict(d))) for one, d in wanted if (one.key, one.token) in owned],
    )
    return [(one.key, one.token) in owned for one, _ in wanted]


keep_digests: Operation[tuple[Claim, Mapping[str, str]], bool] = Operation(
    "keep digests", _keep_digests, Rank.CLAIMS
)


async def _owned(tx: Transaction, claims: Sequence[Claim]) -> set[tuple[int, str]]:
    """Key and token of those claims that still hold."""
    wanted = json.dumps([[one.key, one.token] for one in claims])
    return {(r["key"], r["claim_token"]) for r in await tx.rows(_OWNED, (wanted,))}


async def _complete(tx: Transaction, rows: Sequence[Row], token: str) -> list[Claim]:
    """Claims in the order of ``rows``, with payloads and what is known of earlier attempts."""
    if not rows:
        return []
    keys = values.keys_json(row["key"] for row in rows)
    contents = {row["message_key"]: row for row in await tx.rows(_CONTENTS, (keys,))}
    return [_claim_from(row, contents[row["key"]], token) for row in rows]


def _claim_from(row: Row, content: Row, token: str) -> Claim:
    return Claim(
        key=row["key"],
        token=token,
        lane=Lane(row["tenant_id"], row["account_id"]),
        id=row["id"],
        generation=row["generation"],
        priority=row["priority"],
        payload=content["payload"],
        created_ts=row["created_ts"],
        ready_ts=row["ready_ts"],
        expires_ts=row["expires_ts"],
        hold=bool(row["claim_hold"]),
        attempts=row["attempts"],
        uncertain=row["uncertain"],
        rescues=row["rescues"],
        unexpected=row["unexpected"],
        settled=values.settled_from(content["outcomes"]),
        digests=json.loads(content["digests"]) if content["digests"] else {},
        dot_may_have_left=bool(row["claim_intent"]),
    )
