"""What every store promises about reports."""

from __future__ import annotations

from asyncmail.store.base import Store
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.stores.steps import Steps, ids
from asyncmail.testing.stores.stores import Stores


class ReportPromises:
    """Reports: each result to each sink until that sink has taken it (G17, G18)."""

    async def test_a_report_carries_the_result_and_the_tags(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        await store.activate_sinks(["app"])
        await steps.send("m1", priority=1, tags=("invoice", "2024"))
        [report] = await store.unreported("app", 10)
        assert (report.id, report.account_id, report.priority) == ("m1", "shop", 1)
        assert (report.sent_ts, report.error_ts) == (int(clock.wall()), None)
        assert report.tags == ("invoice", "2024")

    async def test_a_result_is_offered_until_it_is_acknowledged_even_after_a_kill(
        self, steps: Steps, store: Store, stores: Stores
    ) -> None:
        await store.activate_sinks(["app"])
        await steps.send("m1")
        before = await store.unreported("app", 10)
        after = Steps(await stores.open_after_kill(), steps.clock)
        assert await after.store.unreported("app", 10) == before
        await after.report()
        again = await stores.open_after_kill()
        assert await again.unreported("app", 10) == []

    async def test_a_message_is_reported_when_every_sink_has_acknowledged(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        await store.activate_sinks(["app", "hook"])
        await steps.send("m1")
        await steps.report("app")
        assert (await steps.one("m1")).reported_ts is None
        clock.advance(60)
        await steps.report("hook")
        assert (await steps.one("m1")).reported_ts == int(clock.wall())

    async def test_an_acknowledgement_counts_for_the_result_it_names_only(
        self, steps: Steps, store: Store
    ) -> None:
        await store.activate_sinks(["app"])
        await steps.fail("m1")
        older = await store.unreported("app", 10)
        await steps.send("m1")
        await store.acknowledge("app", older)
        assert (await steps.one("m1")).reported_ts is None
        [newer] = await store.unreported("app", 10)
        assert (newer.result_seq, newer.error) == (2, None)

    async def test_an_older_result_of_a_message_always_comes_before_a_newer_one(
        self, steps: Steps, store: Store
    ) -> None:
        await store.activate_sinks(["app"])
        await steps.fail("m1")
        await steps.send("m1")
        await steps.send("m2")
        assert [(r.id, r.result_seq) for r in await steps.report()] == [("m1", 1), ("m2", 1)]
        assert [(r.id, r.result_seq) for r in await steps.report()] == [("m1", 2)]

    async def test_postponed_results_are_not_offered_before_their_time_nor_overtaken(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        await store.activate_sinks(["app"])
        await steps.fail("m1")
        await steps.send("m2")
        poison = [r for r in await store.unreported("app", 10) if r.id == "m1"]
        await store.postpone("app", poison, clock.steady() + 60)
        await steps.send("m1")
        assert ids(await store.unreported("app", 10)) == ["m2"]
        clock.advance(60)
        assert ids(await store.unreported("app", 10)) == ["m1", "m2"]

    async def test_a_postponement_ends_with_the_process(
        self, steps: Steps, store: Store, stores: Stores, clock: ManualClock
    ) -> None:
        await store.activate_sinks(["app"])
        await steps.send("m1")
        await store.postpone("app", await store.unreported("app", 10), clock.steady() + 1e6)
        after = await stores.open_after_kill()
        assert ids(await after.unreported("app", 10)) == ["m1"]

    async def test_results_are_offered_oldest_first_and_no_more_than_asked_for(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        await store.activate_sinks(["app"])
        assert await store.oldest_unreported("app") is None
        for name in ("m3", "m1", "m2"):
            await steps.send(name)
            clock.advance(1)
        assert ids(await store.unreported("app", 2)) == ["m3", "m1"]
        assert await store.oldest_unreported("app") == clock.wall() - 3

    async def test_a_new_sink_gets_what_is_recorded_from_then_on(
        self, steps: Steps, store: Store
    ) -> None:
        await store.activate_sinks(["app"])
        await steps.send("m1")
        await store.activate_sinks(["app", "hook"])
        await steps.send("m2")
        assert ids(await store.unreported("hook", 10)) == ["m2"]
        await steps.report("app")
        reported = {r.id: r.reported_ts is not None for r in await steps.listed()}
        assert reported == {"m1": True, "m2": False}

    async def test_a_removed_sink_stops_counting_and_its_loss_is_told(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        await store.activate_sinks(["app", "hook"])
        await steps.send("taken", "untaken")
        taken = [r for r in await store.unreported("app", 10) if r.id == "taken"]
        await store.acknowledge("app", taken)
        assert await store.activate_sinks(["app"]) == {"hook": 2}
        reported = {r.id: r.reported_ts is not None for r in await steps.listed()}
        assert reported == {"taken": True, "untaken": False}
        assert await store.activate_sinks(["app"]) == {}

    async def test_sinks_stay_active_over_a_restart(
        self, steps: Steps, store: Store, stores: Stores
    ) -> None:
        await store.activate_sinks(["app"])
        after = Steps(await stores.open_after_kill(), steps.clock)
        await after.send("m1")
        assert ids(await after.store.unreported("app", 10)) == ["m1"]

    async def test_the_history_shows_what_each_sink_made_of_each_result(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        await store.activate_sinks(["app", "hook"])
        await steps.fail("m1", error="550 no")
        await steps.report("app")
        history = await store.history("default", "m1")
        assert history is not None
        assert [(r.sink, r.error, r.acknowledged_ts) for r in history.reports] == [
            ("app", "550 no", int(clock.wall())),
            ("hook", "550 no", None),
        ]
