"""What every store promises about claims."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from asyncmail.store.base import Lane, Pick, Removal, Status, Store
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.stores.steps import PLENTY, PRIORITIES, SHOP, Steps, ids, payload
from asyncmail.testing.stores.stores import Stores

OTHER = Lane("default", "other")


class ClaimPromises:
    """Claims: in order, one owner each, small, and rescued when the owner is gone (G6 to G8, G11)."""

    async def test_the_order_is_priority_then_arrival(self, steps: Steps) -> None:
        await steps.add("z-low", priority=3)
        await steps.add("y-medium", "b-medium")
        await steps.add("a-immediate", priority=0)
        assert ids(await steps.claim(2)) == ["a-immediate", "y-medium"]
        assert ids(await steps.claim()) == ["b-medium", "z-low"]

    async def test_a_pick_takes_its_lane_and_its_priorities_only(self, steps: Steps) -> None:
        await steps.add("high", priority=1)
        await steps.add("low", priority=3)
        await steps.add("other", account_id="other", priority=3)
        assert ids(await steps.claim(priorities=(0, 3))) == ["low"]

    async def test_picks_are_served_in_their_order(self, steps: Steps, store: Store) -> None:
        await steps.add("s1", "s2")
        await steps.add("o1", "o2", account_id="other")
        picks = [Pick(OTHER, PRIORITIES, 1), Pick(SHOP, PRIORITIES, 2), Pick(OTHER, PRIORITIES, 2)]
        found = await store.claim(picks, max_bytes=PLENTY)
        assert ids(found.claims) == ["o1", "s1", "s2", "o2"]
        assert found.exhausted == {OTHER}

    async def test_a_lane_is_exhausted_only_if_a_pick_with_the_most_urgent_came_back_short(
        self, steps: Steps, store: Store
    ) -> None:
        await steps.add("m1", "m2")
        assert (await store.claim([Pick(SHOP, (3,), 1)], max_bytes=PLENTY)).exhausted == frozenset()
        full = await store.claim([Pick(SHOP, PRIORITIES, 1)], max_bytes=PLENTY)
        assert full.exhausted == frozenset()
        short = await store.claim([Pick(SHOP, PRIORITIES, 2)], max_bytes=PLENTY)
        assert short.exhausted == {SHOP}

    async def test_no_message_is_claimed_twice(self, steps: Steps) -> None:
        await steps.add(*(f"m{n}" for n in range(40)))
        groups = await asyncio.gather(*(steps.claim(7) for _ in range(8)))
        claimed = [c.id for group in groups for c in group]
        assert len(claimed) == len(set(claimed)) == 40

    async def test_claims_stop_at_the_bytes_but_give_at_least_one(
        self, steps: Steps, store: Store
    ) -> None:
        big = payload(body="x" * 1000)
        await steps.add("m1", "m2", "m3", payload=big)
        assert ids(await steps.claim(max_bytes=1)) == ["m1"]
        found = await store.claim([Pick(SHOP, PRIORITIES, 10)], max_bytes=len(big) + 1)
        assert (ids(found.claims), found.exhausted) == (["m2"], frozenset())
        assert (await steps.one("m3")).status is Status.QUEUED

    async def test_nothing_is_claimed_while_suspended_and_that_survives_a_restart(
        self, steps: Steps, store: Store, stores: Stores
    ) -> None:
        await steps.add("m1")
        await store.set_active(False)
        assert await steps.claim() == []
        after = Steps(await stores.open_after_kill(), steps.clock)
        assert not await after.store.is_active()
        assert await after.claim() == []
        await after.store.set_active(True)
        assert ids(await after.claim()) == ["m1"]

    async def test_a_claim_that_was_lost_records_nothing(self, steps: Steps, store: Store) -> None:
        await steps.add("m1")
        [claim] = await steps.claim()
        stale = replace(claim, token="guess")
        assert await store.record([steps.sent(stale), steps.failed(claim)]) == [False, True]
        assert (await steps.one("m1")).status is Status.ERROR
        assert await store.record([steps.sent(claim)]) == [False]
        assert (await steps.one("m1")).sent_ts is None

    async def test_a_lost_claim_may_not_mark_keep_or_release(
        self, steps: Steps, store: Store
    ) -> None:
        await steps.add("m1")
        [claim] = await steps.claim()
        stale = replace(claim, token="guess")
        assert not await store.mark_intent(stale)
        assert not await store.keep_digests(stale, {"a": "0"})
        await store.release([stale])
        assert (await steps.one("m1")).status is Status.SENDING

    async def test_of_two_results_for_one_claim_the_first_counts(
        self, steps: Steps, store: Store
    ) -> None:
        await steps.add("m1")
        [claim] = await steps.claim()
        assert await store.record([steps.sent(claim), steps.failed(claim)]) == [True, False]
        assert store.pending() == 0

    async def test_a_released_claim_is_as_if_it_had_not_been(
        self, steps: Steps, store: Store
    ) -> None:
        await steps.add("m1", "m2")
        before = await steps.one("m1")
        first, _ = claims = await steps.claim()
        await store.release(claims)
        assert await steps.one("m1") == before
        again, _ = await steps.claim()
        assert (again.id, again.attempts) == ("m1", first.attempts)
        assert again.token != first.token

    async def test_claims_of_a_killed_process_are_rescued_under_new_tokens(
        self, steps: Steps, store: Store, stores: Stores
    ) -> None:
        await steps.add("m1", "m2")
        dead = await steps.claim(1)
        after = await stores.open_after_kill()
        rescued = await after.rescue()
        assert ids(rescued) == ["m1"]
        assert rescued[0].token != dead[0].token
        assert await after.record([steps.sent(dead[0])]) == [False]
        assert await after.record([steps.sent(rescued[0])]) == [True]

    async def test_rescue_leaves_the_claims_of_the_living_alone(
        self, steps: Steps, store: Store
    ) -> None:
        await steps.add("m1")
        [claim] = await steps.claim()
        assert await store.rescue() == []
        assert await store.record([steps.sent(claim)]) == [True]

    async def test_a_rescued_claim_tells_whether_the_dot_may_have_left(
        self, steps: Steps, store: Store, stores: Stores
    ) -> None:
        await steps.add("before", "after")
        _, second = await steps.claim()
        assert await store.mark_intent(second)
        rescued = await (await stores.open_after_kill()).rescue()
        assert {c.id: c.dot_may_have_left for c in rescued} == {"before": False, "after": True}

    async def test_hold_is_the_messages_own_or_else_that_of_the_pick(
        self, steps: Steps, store: Store, stores: Stores
    ) -> None:
        await steps.add("lane", hold=None)
        await steps.add("own", hold=False)
        found = await store.claim([Pick(SHOP, PRIORITIES, 9, hold=True)], max_bytes=PLENTY)
        assert {c.id: c.hold for c in found.claims} == {"lane": True, "own": False}
        rescued = await (await stores.open_after_kill()).rescue()
        assert {c.id: c.hold for c in rescued} == {"lane": True, "own": False}

    async def test_the_first_digest_of_an_attachment_is_kept_for_the_next_attempt(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        await steps.add("m1")
        [claim] = await steps.claim()
        assert await store.keep_digests(claim, {"a": "1"})
        assert await store.keep_digests(claim, {"a": "2", "b": "3"})
        await store.record([steps.later(claim, 0)])
        await store.promote()
        [again] = await steps.claim()
        assert again.digests == {"a": "1", "b": "3"}

    async def test_only_messages_that_were_ready_long_enough_are_claimed_as_aged(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        await steps.add("scheduled", deferred_ts=clock.wall() + 100)
        await steps.add("old")
        clock.advance(100)
        await steps.add("young")
        await store.promote()
        assert ids(await store.claim_aged(clock.steady() - 50, 10)) == ["old"]

    async def test_messages_without_an_account_are_found_ready_or_waiting(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        await steps.account("shop")
        await steps.add("ready", account_id="gone")
        await steps.add("waiting", account_id="gone", deferred_ts=clock.wall() + 100)
        await steps.add("housed")
        assert ids(await store.claim_orphans(1)) == ["ready"]
        assert ids(await store.claim_orphans(10)) == ["waiting"]
        assert await store.claim_orphans(10) == []

    async def test_what_a_deleted_account_leaves_is_not_for_a_new_one_of_that_id(
        self, steps: Steps, store: Store, stores: Stores, clock: ManualClock
    ) -> None:
        await steps.account()
        await steps.add("flying", "retry")
        flying, retry = await steps.claim()
        await store.record([steps.later(retry, 50)])
        await steps.add("ready", "replaced")
        await steps.add("scheduled", deferred_ts=clock.wall() + 100)
        assert await store.delete_account(SHOP)
        await steps.account()
        await steps.add("new")
        await steps.add("replaced", replace=True)
        clock.advance(200)
        await store.promote()
        assert ids(await steps.claim()) == ["replaced", "new"]
        assert (await steps.one("ready")).status is Status.QUEUED
        await store.record([steps.later(flying, 0)])
        await store.promote()
        assert ids(await steps.claim()) == ["flying"], "it goes on, as an account is there"
        orphans = await store.claim_orphans(1)
        await store.release(orphans)
        assert ids(await store.claim_orphans(10)) == ["retry", "ready", "scheduled"]
        after = Steps(await stores.open_after_kill(), clock)
        assert "retry" not in ids(await after.store.rescue())
        assert after.store.pending() == 6
        orphans = await after.store.claim_orphans(10)
        assert ids(orphans) == ["retry", "ready", "scheduled"]
        assert await after.store.record([after.failed(claim) for claim in orphans]) == [True] * 3
        assert await after.store.claim_orphans(10) == []

    async def test_what_a_deleted_account_leaves_may_be_withdrawn(
        self, steps: Steps, store: Store, stores: Stores
    ) -> None:
        await steps.account()
        await steps.add("m1")
        await store.delete_account(SHOP)
        store = await stores.open_after_kill()
        assert store.pending() == 1
        assert await store.remove_messages("default", ["m1"]) == [Removal.REMOVED]
        assert store.pending() == 0

    async def test_the_lane_with_something_ready_and_the_longest_wait_are_known(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        assert await store.oldest_ready() is None
        for lane in ("c", "a", "b"):
            tenant = "other" if lane == "b" else "default"
            await steps.add(f"{lane}-low", account_id=lane, priority=3, tenant_id=tenant)
            clock.advance(10)
            await steps.add(f"{lane}-high", account_id=lane, priority=1, tenant_id=tenant)
        start = clock.steady() - 30
        assert await store.oldest_ready() == start
        assert {lane.account_id for lane in await store.ready_lanes()} == {"a", "b", "c"}
        await steps.claim(lane=Lane("default", "c"))
        assert await store.oldest_ready() == start + 10
        assert {lane.account_id for lane in await store.ready_lanes()} == {"a", "b"}
