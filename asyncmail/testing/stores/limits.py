"""What every store promises about rate limits."""

from __future__ import annotations

import random

import pytest

from asyncmail.store.base import Claim, Status, Store
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.stores.steps import Steps
from asyncmail.testing.stores.stores import Stores


def within(claims: list[Claim]) -> list[Claim]:
    return [claim for claim in claims if not claim.over_limit]


class LimitPromises:
    """Rate limits are never exceeded in any window, whatever happens in between (G14, G25)."""

    async def test_claims_over_the_limit_hold_no_unit_and_say_when_there_will_be_one(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        await steps.account(per_minute=2)
        await steps.add("m1", "m2", "m3")
        first, second, over = await steps.claim()
        assert [c.over_limit for c in (first, second, over)] == [False, False, True]
        assert first.limited_until is None
        await store.record([steps.sent(first), steps.sent(second), steps.later(over, 1)])
        clock.advance(5)
        await store.promote()
        [over] = await steps.claim()
        assert over.over_limit
        assert over.limited_until is not None
        assert 60 <= over.limited_until - (clock.steady() - 5) <= 61
        await store.record([steps.later(over, over.limited_until - clock.steady())])
        clock.advance(over.limited_until - clock.steady())
        await store.promote()
        assert len(within(await steps.claim())) == 1

    async def test_the_oldest_part_of_a_window_counts_whole(
        self, steps: Steps, clock: ManualClock
    ) -> None:
        await steps.account(per_minute=1)
        clock.advance(0.9)
        await steps.send("m1")
        await steps.add("m2")
        clock.advance(59.5)
        claims = await steps.claim()
        assert within(claims) == []
        await steps.store.release(claims)
        clock.advance(0.6)
        assert len(within(await steps.claim())) == 1

    async def test_a_rescued_claim_counts_once(
        self, steps: Steps, stores: Stores, clock: ManualClock
    ) -> None:
        await steps.account(per_minute=2)
        await steps.add("m1", "m2")
        await steps.claim(1)
        after = Steps(await stores.open_after_kill(), clock)
        rescued = await after.store.rescue()
        assert await after.store.record([after.failed(c) for c in rescued]) == [True]
        assert len(within(await after.claim())) == 1

    async def test_claims_in_flight_count(self, steps: Steps) -> None:
        await steps.account(per_hour=3)
        await steps.add("m1", "m2", "m3", "m4")
        assert len(within(await steps.claim(2))) == 2
        assert len(within(await steps.claim(2))) == 1

    async def test_a_unit_comes_back_if_no_transaction_was_begun(
        self, steps: Steps, store: Store
    ) -> None:
        await steps.account(per_day=1)
        await steps.add("m1", "m2")
        [claim] = await steps.claim(1)
        await store.record([steps.later(claim, 3600, unit_used=False)])
        [claim] = within(await steps.claim())
        await store.release([claim])
        assert len(within(await steps.claim())) == 1

    async def test_the_shortest_room_of_several_windows_decides(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        await steps.account(per_minute=2, per_hour=3)
        await steps.add(*(f"m{n}" for n in range(6)))
        claims = within(await steps.claim(2))
        await store.record([steps.sent(c) for c in claims])
        [over] = await steps.claim(1)
        assert over.limited_until is not None
        assert over.limited_until - clock.steady() <= 61
        await store.release([over])
        clock.advance(61)
        one, over = await steps.claim(2)
        assert (one.over_limit, over.over_limit) == (False, True)
        await store.record([steps.sent(one)])
        await store.release([over])
        [over] = await steps.claim(1)
        assert over.limited_until is not None
        assert over.limited_until - clock.steady() > 3000

    async def test_use_before_there_was_a_limit_counts(self, steps: Steps) -> None:
        await steps.account()
        await steps.send("m1", "m2")
        await steps.account(per_hour=2)
        await steps.add("m3")
        assert within(await steps.claim()) == []

    async def test_use_outlives_the_account(self, steps: Steps, store: Store) -> None:
        await steps.account(per_hour=1)
        await steps.send("m1")
        lane = next(iter(await store.lanes()))
        assert await store.delete_account(lane)
        await steps.account(per_hour=1)
        await steps.add("m2")
        assert within(await steps.claim()) == []

    async def test_use_and_rescued_claims_count_after_a_kill(
        self, steps: Steps, store: Store, stores: Stores, clock: ManualClock
    ) -> None:
        await steps.account(per_minute=3)
        await steps.add("m1", "m2", "m3", "m4")
        first, *_ = await steps.claim(2)
        await store.record([steps.sent(first)])
        clock.advance(5)
        after = Steps(await stores.open_after_kill(), clock)
        [rescued] = await after.store.rescue()
        await after.store.record([after.later(rescued, 3600)])
        assert len(within(await after.claim())) == 1
        clock.advance(58)
        await after.add("m5")
        assert len(within(await after.claim())) == 1, "only the one sent before the kill has left"

    async def test_use_recorded_later_than_now_counts_as_now_after_a_start(
        self, steps: Steps, stores: Stores, clock: ManualClock
    ) -> None:
        await steps.account(per_minute=1)
        await steps.send("m1")
        clock_set_back = ManualClock(clock.wall() - 86400)
        after = Steps(await stores.open_after_kill(clock=clock_set_back), clock_set_back)
        await after.add("m2")
        [over] = await after.claim()
        assert over.over_limit
        assert over.limited_until is not None
        assert 60 <= over.limited_until - clock_set_back.steady() <= 61

    async def test_a_wait_does_not_grow_when_the_clock_is_set_back_during_a_stop(
        self, steps: Steps, store: Store, stores: Stores, clock: ManualClock
    ) -> None:
        await steps.add("m1")
        [claim] = await steps.claim()
        await store.record([steps.later(claim, 100)])
        clock_set_back = ManualClock(clock.wall() - 86400)
        after = await stores.open_after_kill(clock=clock_set_back)
        assert (await after.due_times()).steady == pytest.approx(clock_set_back.steady() + 100)

    @pytest.mark.parametrize("seed", range(3))
    async def test_no_window_ever_holds_more_than_the_limit(
        self, steps: Steps, stores: Stores, clock: ManualClock, seed: int
    ) -> None:
        chance = random.Random(seed)
        limit = 7
        begun: list[float] = []
        await steps.account(per_minute=limit)
        await steps.add(*(f"m{n}" for n in range(200)))
        now = steps
        for _ in range(120):
            clock.advance(chance.random() * 8)
            if chance.random() < 0.05:
                now = Steps(await stores.open_after_kill(), clock)
                rescued = await now.store.rescue()
                await now.store.record([now.later(c, 0) for c in rescued])
            await now.store.promote()
            claims = await now.claim(chance.randrange(1, 5))
            started = within(claims)
            await now.store.release([c for c in claims if c.over_limit])
            used = {c.key: chance.random() < 0.8 for c in started}
            begun += [clock.steady()] * sum(used.values())
            clock.advance(chance.random() * 2)
            if chance.random() < 0.9:
                await now.store.record(
                    [now.sent(c) if used[c.key] else now.later(c, 0) for c in started]
                )
            assert all(
                sum(start - 60 < other <= start for other in begun) <= limit for start in begun
            )
        assert len(begun) > 3 * limit
        assert any(r.status is Status.SENT for r in await now.listed())
