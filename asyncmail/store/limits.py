"""Rate limits: how many transactions an account may still begin, on steady time.

A unit is held by a claim, then counted in a bucket of a 60th of each window; the oldest bucket counts
whole, so that no window ever holds more than the limit. Units are counted without a limit, too: a limit
that is set later holds at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from asyncmail.store import values
from asyncmail.store.base import Lane
from asyncmail.store.connection import Row, Transaction

WINDOWS = (60, 3600, 86400)  # seconds
PARTS = 60

_LIMITS = """
SELECT tenant_id, id, per_minute, per_hour, per_day,
    (SELECT count(*) FROM messages AS m WHERE m.state = 'claimed' AND m.claim_unit
        AND m.tenant_id = accounts.tenant_id AND m.account_id = accounts.id) AS held
FROM accounts
WHERE (tenant_id, id) IN (
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))
    AND coalesce(per_minute, per_hour, per_day) IS NOT NULL
"""

_BUCKETS = """
SELECT tenant_id, account_id, window, bucket, used FROM rate_buckets
WHERE (tenant_id, account_id) IN (
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))
ORDER BY window, bucket
"""

_USE = """
WITH new (tenant_id, account_id, window, bucket, used) AS (VALUES {rows})
INSERT INTO rate_buckets (tenant_id, account_id, window, bucket, used)
SELECT * FROM new WHERE tenant_id IS NOT NULL
ON CONFLICT DO UPDATE SET used = used + excluded.used
"""

_FORGET = """
WITH lanes (tenant_id, account_id, window, oldest) AS (VALUES {rows})
DELETE FROM rate_buckets WHERE (tenant_id, account_id, window, bucket) IN (
    SELECT b.tenant_id, b.account_id, b.window, b.bucket
    FROM lanes CROSS JOIN rate_buckets AS b ON b.tenant_id = lanes.tenant_id
        AND b.account_id = lanes.account_id AND b.window = lanes.window
    WHERE b.bucket < lanes.oldest)
"""


@dataclass(slots=True)
class Room:
    """What is left of a lane's limits; ``until`` (steady) is when there will be a unit again."""

    left: int
    until: float

    def take(self) -> bool:
        """Take a unit, if there is one."""
        if self.left <= 0:
            return False
        self.left -= 1
        return True


def rooms(tx: Transaction, lanes: Collection[Lane]) -> dict[Lane, Room]:
    """The room of those of these lanes that have limits."""
    limited = tx.rows(_LIMITS, (values.lanes_json(lanes),))
    if not limited:
        return {}
    accounts = {Lane(row["tenant_id"], row["id"]): row for row in limited}
    used: dict[tuple[Lane, int], list[tuple[int, int]]] = {}
    for row in tx.rows(_BUCKETS, (values.lanes_json(accounts),)):
        lane = Lane(row["tenant_id"], row["account_id"])
        if row["bucket"] >= _oldest(tx.steady, row["window"]):
            used.setdefault((lane, row["window"]), []).append((row["bucket"], row["used"]))
    return {lane: _room(tx.steady, lane, row, used) for lane, row in accounts.items()}


def use(tx: Transaction, units: Mapping[Lane, int]) -> None:
    """Count units as used now, and forget what no window reaches any more."""
    lanes = [(lane.tenant_id, lane.account_id, window) for lane in units for window in WINDOWS]
    tx.together(
        _USE,
        [
            (tenant, account, window, _bucket(tx.steady, window), units[Lane(tenant, account)])
            for tenant, account, window in lanes
        ],
    )
    tx.together(_FORGET, [(*lane, _oldest(tx.steady, lane[2])) for lane in lanes])


def restart(tx: Transaction) -> None:
    """Entries later than now count as now: the clock was set back while the service was down."""
    for window in WINDOWS:
        now = _bucket(tx.steady, window)
        tx.rows(
            "DELETE FROM rate_buckets WHERE window = ? AND bucket < ?",
            (window, _oldest(tx.steady, window)),
        )
        later = tx.rows(
            "DELETE FROM rate_buckets WHERE window = ? AND bucket > ? "
            "RETURNING tenant_id, account_id, used",
            (window, now),
        )
        tx.together(
            _USE, [(r["tenant_id"], r["account_id"], window, now, r["used"]) for r in later]
        )


def _room(
    now: float,
    lane: Lane,
    account: Row,
    used: Mapping[tuple[Lane, int], Sequence[tuple[int, int]]],
) -> Room:
    limits = (account["per_minute"], account["per_hour"], account["per_day"])
    free = {
        window: limit - account["held"] - sum(count for _, count in used.get((lane, window), ()))
        for window, limit in zip(WINDOWS, limits, strict=True)
        if limit is not None
    }
    left = max(min(free.values()), 0)
    until = max(
        _until(now, window, units, used.get((lane, window), ()))
        for window, units in free.items()
        if units <= left
    )
    return Room(left, until)


def _until(now: float, window: int, free: int, buckets: Sequence[tuple[int, int]]) -> float:
    """When the window will have a unit that it does not have once ``free`` are taken.

    Where that hangs on claims in flight, which may yet give theirs back: look again a part later.
    """
    missing = 1 - min(free, 0)
    for bucket, count in buckets:
        missing -= count
        if missing <= 0:
            return (bucket + 1) * (window // PARTS) + float(window)
    return now + window / PARTS


def _bucket(steady: float, window: int) -> int:
    return int(steady // (window // PARTS))


def _oldest(steady: float, window: int) -> int:
    """The oldest bucket that a window ending now reaches."""
    return int((steady - window) // (window // PARTS))
