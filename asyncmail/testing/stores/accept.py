"""What every store promises about accepting messages."""

from __future__ import annotations

import asyncio

from asyncmail.model import Disposition
from asyncmail.store.base import Addition, Lane, Status, Store
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.stores.steps import SHOP, Steps, ids, outcome, payload
from asyncmail.testing.stores.stores import Stores


class AcceptPromises:
    """Accept: durable, exact answers, and safe to repeat (G1 to G4)."""

    async def test_an_accepted_message_survives_a_kill(self, steps: Steps, stores: Stores) -> None:
        assert await steps.add("m1", "m2") == [Addition.STORED] * 2
        after = Steps(await stores.open_after_kill(), steps.clock)
        assert ids(await after.listed()) == ["m1", "m2"]
        assert after.store.pending() == 2

    async def test_each_message_of_a_batch_gets_its_own_answer(self, steps: Steps) -> None:
        await steps.send("sent")
        await steps.add("sending", priority=0)
        await steps.claim(1)
        await steps.add("queued")
        await steps.add("later", deferred_ts=steps.clock.wall() + 60)
        answers = await steps.add("sent", "sending", "queued", "later", "new", "new")
        assert answers == [
            Addition.SENT,
            Addition.SENDING,
            Addition.QUEUED,
            Addition.QUEUED,
            Addition.STORED,
            Addition.QUEUED,
        ]

    async def test_a_duplicate_changes_nothing(self, steps: Steps) -> None:
        await steps.add("m1")
        before = await steps.one("m1")
        await steps.add("m1", payload=payload(subject="other"), priority=0)
        assert await steps.one("m1") == before

    async def test_of_fifty_clients_with_the_same_id_exactly_one_is_stored(
        self, steps: Steps
    ) -> None:
        answers = await asyncio.gather(*(steps.add("m1") for _ in range(50)))
        assert sorted(a for [a] in answers) == [Addition.QUEUED] * 49 + [Addition.STORED]
        assert steps.store.pending() == 1

    async def test_the_same_id_of_two_tenants_is_two_messages(self, steps: Steps) -> None:
        await steps.add("m1")
        assert await steps.add("m1", tenant_id="other") == [Addition.STORED]
        assert await steps.store.ready_lanes() == {SHOP, Lane("other", "shop")}
        assert ids(await steps.claim(lane=Lane("other", "shop"))) == ["m1"]

    async def test_replace_gives_a_waiting_message_new_content_and_keeps_its_place(
        self,
        steps: Steps,
    ) -> None:
        await steps.add("m1", "m2")
        new = payload(subject="new")
        assert await steps.add("m1", replace=True, payload=new) == [Addition.REPLACED]
        first, _ = await steps.claim()
        assert (first.id, first.payload, first.generation) == ("m1", new, 1)

    async def test_replace_never_touches_a_claimed_or_sent_message(self, steps: Steps) -> None:
        await steps.send("sent")
        await steps.add("sending")
        await steps.claim()
        answers = await steps.add("sent", "sending", replace=True, payload=payload(subject="new"))
        assert answers == [Addition.SENT, Addition.SENDING]
        assert all("new" not in r.payload for r in await steps.listed())

    async def test_a_failed_id_may_come_again_as_a_new_generation_at_the_end(
        self, steps: Steps
    ) -> None:
        await steps.fail("m1")
        await steps.add("m2")
        assert await steps.add("m1", payload=payload(subject="2")) == [Addition.STORED]
        assert steps.store.pending() == 2
        second, first = await steps.claim()
        assert (second.id, first.id, first.generation, first.attempts) == ("m2", "m1", 2, 0)
        assert (await steps.one("m1")).error is None

    async def test_a_new_generation_leaves_the_older_result_to_be_reported(
        self, steps: Steps, store: Store
    ) -> None:
        await store.activate_sinks(["app"])
        await steps.fail("m1", error="550 first")
        await steps.add("m1")
        [report] = await store.unreported("app", 10)
        assert (report.generation, report.error) == (1, "550 first")

    async def test_a_new_generation_knows_who_already_has_the_message(self, steps: Steps) -> None:
        reached = outcome("b@example.org")
        refused = outcome("c@example.org", Disposition.PERMANENT)
        await steps.fail("m1", settled={o.recipient: o for o in (reached, refused)})
        await steps.add("m1")
        [claim] = await steps.claim()
        assert claim.settled == {"b@example.org": reached}

    async def test_a_sent_and_acknowledged_duplicate_is_reported_once_more(
        self, steps: Steps, store: Store
    ) -> None:
        await store.activate_sinks(["app"])
        await steps.send("m1")
        assert [r.result_seq for r in await steps.report()] == [1]
        await steps.add("m1", "m1")
        assert [r.result_seq for r in await steps.report()] == [2]
        assert await store.unreported("app", 10) == []

    async def test_a_sent_duplicate_that_is_still_unacknowledged_is_not_reported_twice(
        self, steps: Steps, store: Store
    ) -> None:
        await store.activate_sinks(["app"])
        await steps.send("m1")
        await steps.add("m1")
        assert [r.result_seq for r in await steps.report()] == [1]
        assert await store.unreported("app", 10) == []

    async def test_a_scheduled_message_is_not_ready_before_its_time(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        due = clock.wall() + 60
        await steps.add("m1", deferred_ts=due)
        record = await steps.one("m1")
        assert (record.status, record.deferred_ts) == (Status.DEFERRED, int(due))
        assert (await store.due_times()).wall == due
        clock.advance(59)
        assert await store.promote() == frozenset()
        clock.advance(1)
        assert await store.promote() == {SHOP}
        [claim] = await steps.claim()
        assert claim.ready_ts == due

    async def test_a_schedule_in_the_past_means_now(self, steps: Steps, clock: ManualClock) -> None:
        await steps.add("m1", deferred_ts=clock.wall() - 60)
        record = await steps.one("m1")
        assert (record.status, record.deferred_ts) == (Status.QUEUED, None)

    async def test_a_schedule_follows_the_wall_clock_and_a_retry_does_not(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        await steps.add("retry")
        [claim] = await steps.claim()
        await store.record([steps.later(claim, 60)])
        await steps.add("scheduled", deferred_ts=clock.wall() + 60)
        clock.set_wall(clock.wall() + 3600)
        await store.promote()
        assert ids(await steps.claim()) == ["scheduled"]
        clock.advance(60)
        await store.promote()
        assert ids(await steps.claim()) == ["retry"]
