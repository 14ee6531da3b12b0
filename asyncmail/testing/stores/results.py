"""What every store promises about results."""

from __future__ import annotations

from asyncmail.model import Disposition
from asyncmail.store.base import AttemptRecord, Status, Store
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.stores.steps import Steps, ids, outcome
from asyncmail.testing.stores.stores import Stores


class ResultPromises:
    """Results: what is recorded is shown, kept and continued from (G9, G16)."""

    async def test_a_recorded_result_survives_a_kill(
        self, steps: Steps, store: Store, stores: Stores
    ) -> None:
        await steps.send("m1")
        after = Steps(await stores.open_after_kill(), steps.clock)
        assert (await after.one("m1")).status is Status.SENT
        assert after.store.pending() == 0
        assert await after.store.rescue() == []

    async def test_each_kind_of_result_shows_in_the_message(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        await steps.add("sent", "error", "retry", "again")
        sent, error, retry, again = await steps.claim()
        results = [
            steps.sent(sent),
            steps.failed(error, "550 no"),
            steps.later(retry, 60, error="451 busy", attempts=3),
            steps.later(again, 0, error="breaker open"),
        ]
        assert await store.record(results) == [True] * 4
        await store.promote()
        now = int(clock.wall())
        shown = {
            r.id: (r.status, r.sent_ts, r.error_ts, r.error, r.deferred_ts, r.retry_count)
            for r in await steps.listed()
        }
        assert shown == {
            "sent": (Status.SENT, now, None, None, None, 0),
            "error": (Status.ERROR, None, now, "550 no", None, 0),
            "retry": (Status.DEFERRED, None, None, "451 busy", now + 60, 3),
            "again": (Status.QUEUED, None, None, "breaker open", None, 0),
        }
        assert store.pending() == 2

    async def test_the_next_claim_goes_on_from_what_was_recorded(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        await steps.add("m1")
        [claim] = await steps.claim()
        settled = {"b@example.org": outcome("b@example.org")}
        counters = {"attempts": 2, "uncertain": 1, "rescues": 3, "unexpected": 4}
        await store.record([steps.later(claim, 10, settled=settled, **counters)])
        assert (await store.due_times()).steady == clock.steady() + 10
        clock.advance(10)
        await store.promote()
        [again] = await steps.claim()
        assert (again.attempts, again.uncertain, again.rescues, again.unexpected) == (2, 1, 3, 4)
        assert again.settled == settled
        assert again.ready_ts == claim.ready_ts

    async def test_what_is_left_over_goes_on_before_later_arrivals(
        self, steps: Steps, store: Store
    ) -> None:
        await steps.add("m1", "m2")
        [claim] = await steps.claim(1)
        await store.record([steps.sent(claim, sent_ts=None)])
        assert ids(await steps.claim()) == ["m1", "m2"]

    async def test_the_history_has_every_attempt_of_every_generation_with_its_replies(
        self, steps: Steps, store: Store
    ) -> None:
        refused = outcome("b@example.org", Disposition.PERMANENT)
        busy = outcome("b@example.org", Disposition.TEMPORARY)
        first = AttemptRecord(1.5, 2.5, "retry", True, "451 busy", (busy,))
        second = AttemptRecord(3.0, 4.0, "error", False, "550 no", (refused,))
        await steps.add("m1")
        [claim] = await steps.claim()
        await store.record([steps.later(claim, 0, attempt=first)])
        await store.promote()
        [claim] = await steps.claim()
        settled = {"b@example.org": refused}
        await store.record([steps.failed(claim, attempt=second, settled=settled)])
        history = await store.history("default", "m1")
        assert history is not None
        assert history.settled == settled
        await steps.add("m1")
        [claim] = await steps.claim()
        await store.record([steps.sent(claim)])
        history = await store.history("default", "m1")
        assert history is not None
        assert [g for g, _ in history.attempts] == [1, 1, 2]
        assert [a for _, a in history.attempts][:2] == [first, second]
        assert history.record.status is Status.SENT
        assert await store.history("default", "unknown") is None

    async def test_the_result_seq_rises_over_the_whole_life_of_an_id(
        self, steps: Steps, store: Store
    ) -> None:
        await store.activate_sinks(["app"])
        await steps.fail("m1")
        await steps.report()
        await steps.send("m1")
        await steps.report()
        await steps.add("m1")
        [last] = await steps.report()
        assert (last.generation, last.result_seq) == (2, 3)

    async def test_a_deferral_is_reported_only_when_asked_for(
        self, steps: Steps, store: Store, clock: ManualClock
    ) -> None:
        await store.activate_sinks(["app"])
        await steps.add("quiet", "told")
        quiet, told = await steps.claim()
        await store.record([steps.later(quiet, 60), steps.later(told, 60, report=True)])
        [report] = await steps.report()
        assert (report.id, report.sent_ts, report.error_ts) == ("told", None, None)
        assert report.deferred_ts == int(clock.wall() + 60)
        assert (await steps.one("told")).reported_ts is None
