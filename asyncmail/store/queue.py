"""The queue as a whole: what is ready or due, for whom, since when, and whether sending is on."""

from __future__ import annotations

from collections.abc import Sequence

from asyncmail.store import claims, limits, reports, values
from asyncmail.store.base import DueTimes, Lane
from asyncmail.store.connection import Connection, Transaction
from asyncmail.store.writer import Operation

PROMOTE_BATCH = 1000

# States are literals wherever a partial index is to serve: SQLite cannot know a parameter's value.
_PROMOTE = """
UPDATE messages SET state = 'ready', due = NULL, deferred_ts = NULL
WHERE key IN (SELECT key FROM messages WHERE state = '{state}' AND due <= ? ORDER BY due LIMIT ?)
RETURNING tenant_id, account_id
"""
_PROMOTE_SCHEDULED = _PROMOTE.format(state="scheduled")
_PROMOTE_RETRY = _PROMOTE.format(state="retry")

_DUE = """
SELECT (SELECT min(due) FROM messages WHERE state = 'scheduled') AS wall,
    (SELECT min(due) FROM messages WHERE state = 'retry') AS steady
"""

# One step along an index per distinct lane, however many rows each has: the next account of the tenant,
# or else the first one of the next tenant. (SQLite walks all of a tenant for (tenant, account) > (?, ?).)
_LANES = """
WITH RECURSIVE lane (tenant_id, account_id) AS (
    SELECT * FROM (
        SELECT tenant_id, account_id FROM messages {index} WHERE {which}
        ORDER BY tenant_id, account_id LIMIT 1)
    UNION ALL
    SELECT m.tenant_id, m.account_id FROM lane JOIN messages AS m ON m.key = coalesce(
        (SELECT key FROM messages {index} WHERE {which}
            AND tenant_id = lane.tenant_id AND account_id > lane.account_id
        ORDER BY account_id LIMIT 1),
        (SELECT key FROM messages {index} WHERE {which} AND tenant_id > lane.tenant_id
        ORDER BY tenant_id, account_id LIMIT 1))
)
SELECT tenant_id, account_id FROM lane
"""

_READY_LANES = _LANES.format(index="INDEXED BY messages_ready", which="state = 'ready'")
_MESSAGE_LANES = _LANES.format(index="INDEXED BY messages_of_account", which="TRUE")

# The same along lanes and priorities: the first of each is the one that has waited longest there.
_OLDEST = """
WITH RECURSIVE first (key, tenant_id, account_id, priority, ready_ts) AS (
    SELECT * FROM (
        SELECT key, tenant_id, account_id, priority, ready_ts FROM messages WHERE state = 'ready'
        ORDER BY tenant_id, account_id, priority, arrival LIMIT 1)
    UNION ALL
    SELECT m.key, m.tenant_id, m.account_id, m.priority, m.ready_ts
    FROM first JOIN messages AS m ON m.key = coalesce(
        (SELECT key FROM messages WHERE state = 'ready' AND tenant_id = first.tenant_id
            AND account_id = first.account_id AND priority > first.priority
        ORDER BY priority, arrival LIMIT 1),
        (SELECT key FROM messages WHERE state = 'ready' AND tenant_id = first.tenant_id
            AND account_id > first.account_id
        ORDER BY account_id, priority, arrival LIMIT 1),
        (SELECT key FROM messages WHERE state = 'ready' AND tenant_id > first.tenant_id
        ORDER BY tenant_id, account_id, priority, arrival LIMIT 1))
)
SELECT min(ready_ts) AS oldest FROM first
"""

_AGED = "SELECT key FROM messages WHERE state = 'ready' AND ready_ts < ? LIMIT ?"

_ORPHANED = "SELECT key FROM messages WHERE state = 'orphaned' ORDER BY arrival LIMIT ?"

_ORPHANS_READY = """
SELECT m.key FROM json_each(?) AS lane JOIN messages AS m
    ON m.tenant_id = json_extract(lane.value, '$[0]') AND m.account_id = json_extract(lane.value, '$[1]')
WHERE m.state = 'ready' LIMIT ?
"""

_ORPHANS_WAITING = """
SELECT key FROM messages
WHERE state = '{state}' AND (tenant_id, account_id) IN (
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))
LIMIT ?
"""

_ORPHANS_SCHEDULED = _ORPHANS_WAITING.format(state="scheduled")
_ORPHANS_RETRY = _ORPHANS_WAITING.format(state="retry")

# What is left of a wait, by the wall clock of its recording and by that of now; a second is for the
# fraction that ``deferred_ts`` does not show.
_SHORTEN_WAITS = """
UPDATE messages SET due = ? + deferred_ts + 1 - max(?, updated_at)
WHERE state = 'retry' AND due > ? + deferred_ts + 1 - max(?, updated_at)
"""

_PENDING = """
SELECT (SELECT count(*) FROM messages WHERE state = 'ready')
    + (SELECT count(*) FROM messages WHERE state = 'scheduled')
    + (SELECT count(*) FROM messages WHERE state = 'retry')
    + (SELECT count(*) FROM messages WHERE state = 'orphaned')
    + (SELECT count(*) FROM messages WHERE state = 'claimed') AS pending
"""


# --- read ----------------------------------------------------------------------------------------


async def pending(connection: Connection) -> int:
    """How many messages are not final."""
    return int((await connection.rows(_PENDING))[0]["pending"])


async def ready_lanes(connection: Connection) -> frozenset[Lane]:
    return await _lanes(connection, _READY_LANES)


async def all_lanes(connection: Connection) -> frozenset[Lane]:
    """Every lane that has a message or an account."""
    return await _lanes(connection, _MESSAGE_LANES) | await _account_lanes(connection)


async def due_times(connection: Connection) -> DueTimes:
    rows = await connection.rows(_DUE)
    return DueTimes(rows[0]["wall"], rows[0]["steady"])


async def oldest_ready(connection: Connection) -> float | None:
    oldest: float | None = (await connection.rows(_OLDEST))[0]["oldest"]
    return oldest


async def aged(connection: Connection, ready_before: float, limit: int) -> list[int]:
    """Keys of ready messages that could have been started before that time."""
    return [row["key"] for row in await connection.rows(_AGED, (ready_before, limit))]


async def orphans(connection: Connection, limit: int) -> list[int]:
    """Keys of messages that a deleted account left, and of those whose account does not exist."""
    keys = [row["key"] for row in await connection.rows(_ORPHANED, (limit,))]
    homeless = await _lanes(connection, _MESSAGE_LANES) - await _account_lanes(connection)
    if not homeless:
        return keys
    lanes = values.lanes_json(homeless)
    for sql in (_ORPHANS_READY, _ORPHANS_SCHEDULED, _ORPHANS_RETRY):
        rows = await connection.rows(sql, (lanes, limit - len(keys)))
        keys += [row["key"] for row in rows]
    return keys


async def is_active(connection: Connection) -> bool:
    rows = await connection.rows("SELECT value FROM meta WHERE name = 'active'")
    return bool(rows[0]["value"])


async def _lanes(connection: Connection, sql: str) -> frozenset[Lane]:
    rows = await connection.rows(sql)
    return frozenset(Lane(row["tenant_id"], row["account_id"]) for row in rows)


async def _account_lanes(connection: Connection) -> frozenset[Lane]:
    return await _lanes(connection, "SELECT tenant_id, id AS account_id FROM accounts")


# --- write ---------------------------------------------------------------------------------------


def _promote(tx: Transaction, calls: Sequence[None]) -> list[tuple[frozenset[Lane], bool]]:
    """The lanes that got something, and whether there may be more of it."""
    lanes: set[Lane] = set()
    more = False
    for sql, now in ((_PROMOTE_SCHEDULED, tx.wall), (_PROMOTE_RETRY, tx.steady)):
        rows = tx.rows(sql, (now, PROMOTE_BATCH))
        lanes.update(Lane(row["tenant_id"], row["account_id"]) for row in rows)
        more = more or len(rows) == PROMOTE_BATCH
    return [(frozenset(lanes), more) for _ in calls]


promote: Operation[None, tuple[frozenset[Lane], bool]] = Operation("promote", _promote)


def _set_active(tx: Transaction, wanted: Sequence[bool]) -> list[None]:
    tx.rows("UPDATE meta SET value = ? WHERE name = 'active'", (int(wanted[-1]),))
    return [None for _ in wanted]


set_active: Operation[bool, None] = Operation("set active", _set_active)


def _restart(tx: Transaction, calls: Sequence[None]) -> list[None]:
    """What a start must put right before anybody else writes."""
    claims.disown(tx)
    limits.restart(tx)
    reports.forget_postponements(tx)
    # Steady time begins anew: a clock set back since the last start must not lengthen a wait.
    times = (tx.steady, tx.wall)
    tx.rows(_SHORTEN_WAITS, (*times, *times))
    return [None for _ in calls]


restart: Operation[None, None] = Operation("restart", _restart)


def _probe(tx: Transaction, calls: Sequence[None]) -> list[None]:
    tx.numbers("probe", 1)
    return [None for _ in calls]


probe: Operation[None, None] = Operation("probe", _probe)
