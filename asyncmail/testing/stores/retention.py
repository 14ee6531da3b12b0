"""What every store promises about deletion."""

from __future__ import annotations

from asyncmail.store.base import Addition, Lane, Removal, Store
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.stores.steps import SHOP, Steps, ids

FAR = 1e12  # later than everything


async def retirable(store: Store, before: float = FAR) -> list[str]:
    return [message.id for _, message in await store.retirable(SHOP, before, limit=100)]


async def all_keys(steps: Steps) -> list[int]:
    return [record.key for record in await steps.listed()]


class RetentionPromises:
    """Deletion: final, acknowledged and old enough, or not at all (G20)."""

    async def test_only_final_acknowledged_and_old_messages_go(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        await store.activate_sinks(["app"])
        await steps.send("old")
        await steps.report()
        clock.advance(100)
        before = clock.wall()
        await steps.send("young")
        await steps.report()
        await steps.send("unreported")
        await steps.add("scheduled", deferred_ts=clock.wall() + 60)
        await steps.add("claimed")
        await steps.claim()
        await steps.add("ready")
        assert await retirable(store, before) == ["old"]
        assert len(await store.retire(await all_keys(steps), before)) == 1
        assert len(await store.retire(await all_keys(steps), FAR)) == 1
        left = ["unreported", "scheduled", "claimed", "ready"]
        assert ids(await steps.listed()) == left
        assert store.pending() == 3

    async def test_a_result_newer_than_the_acknowledgement_keeps_the_message(
        self, steps: Steps, store: Store
    ) -> None:
        await store.activate_sinks(["app"])
        await steps.send("m1")
        await steps.report()
        [(key, _)] = await store.retirable(SHOP, FAR, limit=1)
        await steps.add("m1")
        assert await store.retire([key], FAR) == []
        assert ids(await steps.listed()) == ["m1"]

    async def test_without_a_sink_the_window_counts_from_the_result(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        await steps.send("m1")
        assert (await steps.one("m1")).reported_ts is None
        assert await retirable(store, clock.wall()) == []
        assert await retirable(store, clock.wall() + 1) == ["m1"]

    async def test_what_was_recorded_without_a_sink_is_owed_to_no_later_one(
        self, steps: Steps, store: Store
    ) -> None:
        await steps.send("m1")
        await store.activate_sinks(["app"])
        assert await store.unreported("app", 10) == []
        assert await retirable(store) == ["m1"]

    async def test_what_only_a_removed_sink_was_owed_may_go(
        self, steps: Steps, store: Store
    ) -> None:
        await store.activate_sinks(["app"])
        await steps.send("m1")
        assert await retirable(store) == []
        await store.activate_sinks([])
        assert (await steps.one("m1")).reported_ts is None
        assert await retirable(store) == ["m1"]

    async def test_retirable_pages_by_key(self, steps: Steps, store: Store) -> None:
        await steps.send("m1", "m2", "m3")
        first = await store.retirable(SHOP, FAR, limit=2)
        assert [m.id for _, m in first] == ["m1", "m2"]
        assert first[0][1].payload["subject"] == "s"
        rest = await store.retirable(SHOP, FAR, limit=2, after_key=first[-1][0])
        assert [m.id for _, m in rest] == ["m3"]

    async def test_a_forgotten_id_is_a_new_message(self, steps: Steps, store: Store) -> None:
        await steps.fail("m1")
        assert len(await store.retire(await all_keys(steps), FAR)) == 1
        assert await store.history("default", "m1") is None
        assert await steps.add("m1") == [Addition.STORED]
        [claim] = await steps.claim()
        assert claim.generation == 1

    async def test_lanes_are_those_with_a_message_or_an_account(
        self, steps: Steps, store: Store
    ) -> None:
        assert await store.lanes() == frozenset()
        await steps.account("empty")
        await steps.send("m1")
        await steps.add("m2", account_id="b", tenant_id="t")
        assert await store.lanes() == {SHOP, Lane("default", "empty"), Lane("t", "b")}

    async def test_a_client_may_remove_what_waits_and_what_is_acknowledged(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        await store.activate_sinks(["app"])
        await steps.send("acknowledged")
        await steps.report()
        await steps.fail("unreported")
        await steps.add("sending")
        await steps.claim()
        await steps.add("ready")
        await steps.add("deferred", deferred_ts=clock.wall() + 60)
        wanted = ["ready", "deferred", "acknowledged", "unreported", "sending", "unknown", "ready"]
        assert await store.remove_messages("default", wanted) == [
            Removal.REMOVED,
            Removal.REMOVED,
            Removal.REMOVED,
            Removal.UNREPORTED,
            Removal.IN_FLIGHT,
            Removal.NOT_FOUND,
            Removal.REMOVED,
        ]
        assert ids(await steps.listed()) == ["unreported", "sending"]
        assert store.pending() == 1

    async def test_another_tenants_messages_cannot_be_removed(
        self, steps: Steps, store: Store
    ) -> None:
        await steps.add("m1")
        assert await store.remove_messages("other", ["m1"]) == [Removal.NOT_FOUND]
        assert ids(await steps.listed()) == ["m1"]

    async def test_a_waiting_message_stays_while_its_earlier_result_is_unreported(
        self, steps: Steps, store: Store
    ) -> None:
        await store.activate_sinks(["app"])
        await steps.fail("m1")
        await steps.add("m1")
        assert await store.remove_messages("default", ["m1"]) == [Removal.UNREPORTED]
        await steps.report()
        assert await store.remove_messages("default", ["m1"]) == [Removal.REMOVED]
