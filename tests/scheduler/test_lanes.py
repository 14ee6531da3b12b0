"""How slots are shared among accounts and priorities."""

from __future__ import annotations

from collections import Counter

from asyncmail.model import Account, OnUncertain
from asyncmail.scheduler.breaker import Breaker
from asyncmail.scheduler.lanes import ALL_PRIORITIES, Lanes, LaneState, Slots
from asyncmail.store.base import Lane, Pick

NOW = 1000.0
FAST = 0.001  # seconds per delivery
STUCK = 60.0


def make_lanes(*ids: str, concurrency: int = 200, max_connections: int = 10) -> Lanes:
    lanes = Lanes(Slots(concurrency, max_connections, quantum=50), lambda: Breaker(lambda: 0.0))
    for id in ids:
        lane(lanes, id).account = Account(id, on_uncertain=OnUncertain.RETRY)
        lanes.hint([Lane("default", id)])
    return lanes


def lane(lanes: Lanes, id: str) -> LaneState:
    return lanes.state(Lane("default", id))


def counts(picks: list[Pick]) -> Counter[str]:
    total: Counter[str] = Counter()
    for pick in picks:
        total[pick.lane.account_id] += pick.count
    return total


def start(lanes: Lanes, id: str, count: int) -> None:
    for _ in range(count):
        lanes.started(Lane("default", id), NOW)


def test_nothing_is_picked_where_nothing_may_be_ready() -> None:
    lanes = make_lanes("a")
    lane(lanes, "a").ready.clear()
    assert lanes.plan(NOW) == []


def test_an_account_of_unknown_pace_starts_with_as_many_as_it_has_connections() -> None:
    assert counts(make_lanes("a").plan(NOW)) == {"a": 10}


def test_a_fast_account_alone_gets_all_slots_but_those_kept_for_immediate_mail() -> None:
    lanes = make_lanes("a")
    lane(lanes, "a").pace = FAST
    assert counts(lanes.plan(NOW)) == {"a": 190}


def test_a_fast_account_leaves_half_of_all_slots_to_accounts_that_have_nothing_due_yet() -> None:
    lanes = make_lanes("a", "b")
    lane(lanes, "a").pace = FAST
    lane(lanes, "b").ready.clear()
    assert counts(lanes.plan(NOW)) == {"a": 100}


def test_an_account_whose_server_falls_silent_is_given_no_more_slots() -> None:
    lanes = make_lanes("a")
    lane(lanes, "a").pace = FAST
    start(lanes, "a", 50)
    assert counts(lanes.plan(NOW + 0.001))["a"] > 10
    lanes.started(Lane("default", "a"), NOW + 60)
    assert [p.priorities for p in lanes.plan(NOW + 60)] == [], "51 in flight, ten connections"


def test_a_fast_account_takes_at_most_a_quarter_while_another_has_mail_due() -> None:
    lanes = make_lanes("a", "b")
    lane(lanes, "a").pace = lane(lanes, "b").pace = FAST
    assert counts(lanes.plan(NOW)) == {"a": 50, "b": 50}


def test_an_account_that_does_not_move_holds_no_more_than_its_connections() -> None:
    lanes = make_lanes("tarpit", "b")
    lane(lanes, "tarpit").pace = STUCK
    start(lanes, "tarpit", 10)
    lane(lanes, "b").pace = FAST
    picks = lanes.plan(NOW)
    assert counts(picks) == {"b": 50, "tarpit": 1}
    assert [p.priorities for p in picks if p.lane.account_id == "tarpit"] == [(0,)]


def test_scarce_slots_go_round_robin_by_quantum() -> None:
    lanes = make_lanes(*"abcdef", concurrency=9)
    for id in "abcdef":
        lane(lanes, id).account = Account(id, batch_size=1, max_connections=50)
        lane(lanes, id).pace = FAST
    first = counts(lanes.plan(NOW))
    assert sum(first.values()) == 8
    assert max(first.values()) - min(first.values()) <= 1


def test_the_turn_moves_on_so_that_a_single_free_slot_reaches_everybody() -> None:
    lanes = make_lanes("a", "b", "c", concurrency=2)
    got = {next(iter(counts(lanes.plan(NOW)))) for _ in range(3)}
    assert got == {"a", "b", "c"}


def test_when_all_slots_are_taken_immediate_mail_still_gets_one() -> None:
    lanes = make_lanes("a")
    lane(lanes, "a").pace = FAST
    start(lanes, "a", 190)
    assert [(p.priorities, p.count) for p in lanes.plan(NOW)] == [((0,), 1)]


def test_of_twenty_slots_each_lower_priority_gets_one() -> None:
    lanes = make_lanes("a", max_connections=20)
    picks = lanes.plan(NOW)
    assert [(p.priorities, p.count) for p in picks] == [
        ((1,), 1),
        ((2,), 1),
        ((3,), 1),
        (ALL_PRIORITIES, 17),
    ]


def test_a_priority_that_is_alone_or_known_to_be_empty_gets_no_share_of_its_own() -> None:
    lanes = make_lanes("a", max_connections=20)
    lane(lanes, "a").ready = {2}
    assert [p.priorities for p in lanes.plan(NOW)] == [ALL_PRIORITIES]
    lane(lanes, "a").ready = {1, 3}
    picks = lanes.plan(NOW)
    assert [p.priorities for p in picks] == [(1,), (3,), ALL_PRIORITIES]
    lane(lanes, "a").claimed(picks, {1}, exhausted=False)
    assert lane(lanes, "a").ready == {1}
    lane(lanes, "a").claimed(picks, {1}, exhausted=True)
    assert lane(lanes, "a").ready == set()


def test_a_search_for_immediate_mail_alone_says_nothing_about_the_rest() -> None:
    lanes = make_lanes("a")
    only_immediate = [Pick(Lane("default", "a"), (0,), 1)]
    lane(lanes, "a").claimed(only_immediate, set(), exhausted=True)
    assert lane(lanes, "a").ready == {1, 2, 3}


def test_aging_adds_up_over_small_turns() -> None:
    lanes = make_lanes("a", max_connections=1)
    narrow = [p for _ in range(22) for p in lanes.plan(NOW) if len(p.priorities) == 1]
    assert [p.priorities for p in narrow] == [(1,), (2,), (3,)]


def test_an_open_breaker_blocks_and_then_lets_one_probe_through() -> None:
    lanes = make_lanes("a")
    lane(lanes, "a").breaker.fail(NOW, "535 wrong password")
    assert lanes.plan(NOW + 1) == []
    assert lanes.next_unblocked(NOW + 1) == NOW + 5
    assert counts(lanes.plan(NOW + 5)) == {"a": 1}
    start(lanes, "a", 1)
    assert lanes.plan(NOW + 5) == []


def test_the_breaker_waits_longer_each_time_up_to_its_cap_and_forgets_on_success() -> None:
    breaker = Breaker(lambda: 0.0)
    now, delays = NOW, []
    for _ in range(9):
        breaker.fail(now, "refused")
        assert breaker.retry_at is not None
        delays.append(breaker.retry_at - now)
        now = breaker.retry_at
    assert delays == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    breaker.close()
    assert not breaker.is_open
    breaker.fail(now, "refused")
    assert breaker.retry_at == now + 5


def test_failures_of_attempts_under_way_do_not_lengthen_the_delay() -> None:
    breaker = Breaker(lambda: 0.0)
    for _ in range(10):
        breaker.fail(NOW, "refused")
    assert breaker.retry_at == NOW + 5


def test_a_limited_account_waits_until_its_next_unit() -> None:
    lanes = make_lanes("a", "b")
    lane(lanes, "a").limited_until = NOW + 30
    assert counts(lanes.plan(NOW)) == {"b": 10}
    assert lanes.next_unblocked(NOW) == NOW + 30
