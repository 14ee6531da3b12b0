"""Messages at hand in memory: bounded, never older than the database, and never in the way of others."""

from __future__ import annotations

from asyncmail.payload import message_from_payload
from asyncmail.store.base import NewMessage
from asyncmail.store.fresh import OBJECT_BYTES, STALE_SECONDS, Fresh
from asyncmail.testing import ManualClock

ONE = OBJECT_BYTES + 100  # bytes that a message of the tests is taken for


def new(id: str) -> NewMessage:
    payload = {"id": id, "from": "a@shop.example", "to": "b@example.org", "body": "x"}
    message = message_from_payload(
        payload, tenant_id="t", account_id="a", priority=2, created_ts=1000.0
    )
    return NewMessage("t", id, "a", 2, 1000.0, "x" * 100, message=message)


def test_a_message_is_taken_once(clock: ManualClock) -> None:
    fresh = Fresh(clock.steady)
    fresh.keep([(1, new("m1"))])
    taken = fresh.take(1)
    assert taken is not None
    assert taken.id == "m1"
    assert fresh.take(1) is None


def test_no_more_is_kept_than_there_is_room_for(clock: ManualClock) -> None:
    fresh = Fresh(clock.steady, max_bytes=2 * ONE + 50)
    fresh.keep([(1, new("m1")), (2, new("m2")), (3, new("m3"))])
    assert [fresh.take(key) is not None for key in (1, 2, 3)] == [True, True, False]


def test_what_is_taken_makes_room(clock: ManualClock) -> None:
    fresh = Fresh(clock.steady, max_bytes=ONE)
    fresh.keep([(1, new("m1"))])
    fresh.take(1)
    fresh.keep([(2, new("m2"))])
    assert fresh.take(2) is not None


def test_what_nobody_claims_for_long_gives_way(clock: ManualClock) -> None:
    fresh = Fresh(clock.steady, max_bytes=2 * ONE)
    fresh.keep([(1, new("m1"))])
    clock.advance(STALE_SECONDS)
    fresh.keep([(2, new("m2")), (3, new("m3"))])
    assert [fresh.take(key) is not None for key in (1, 2, 3)] == [False, True, True]
