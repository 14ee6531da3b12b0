"""The report loop, driven pass by pass with a clock moved by hand."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import Any

import pytest
from report_bench import Bench, ScriptedSink, take_all

from asyncmail import Ack, SinkRefused, SinkUnavailable
from asyncmail.clock import SystemClock
from asyncmail.errors import StoreUnavailable
from asyncmail.model import Report
from asyncmail.scheduler.report import LONGEST_BACKOFF, MAX_AGAIN, WITHHELD_DELAY
from asyncmail.store.base import NewMessage

FIVE = [f"m{number}" for number in range(5)]


def failing(*errors: Exception | None) -> Any:
    """Raises these in turn, then takes everything; ``None`` takes."""
    left = list(errors)

    async def behave(reports: Sequence[Report]) -> Ack:
        error = left.pop(0) if left else None
        if error is not None:
            raise error
        return Ack()

    return behave


def down(retry_after: float | None = None) -> SinkUnavailable:
    return SinkUnavailable("it is down", retry_after=retry_after)


# --- acknowledgements ----------------------------------------------------------------------------


async def test_a_pass_reports_everything_in_lists_of_at_most_max_batch(bench: Bench) -> None:
    ids = [f"m{number}" for number in range(25)]
    await bench.finish(*ids)
    sink = ScriptedSink()
    reporter = bench.reporter(sink)
    assert await reporter.run_once() == 25
    assert [len(call) for call in sink.calls] == [10, 10, 5]
    assert [name for call in sink.calls for name in call] == ids
    assert await bench.unreported() == []
    assert await bench.reported("m24")
    assert await reporter.run_once() == 0
    assert len(sink.calls) == 3


@pytest.mark.fault("sink.odd_retry_list")
async def test_only_the_ids_that_an_answer_names_are_acknowledged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.finish(*FIVE)

    async def take_two(reports: Sequence[Report]) -> Ack:
        return Ack(accepted=frozenset({"m1", "m3", "never sent"}))

    reporter = bench.reporter(ScriptedSink(take_two))
    assert await reporter.run_once() == 2
    assert "1 ids it was not sent" in caplog.text
    bench.clock.advance(WITHHELD_DELAY)
    assert await bench.unreported() == ["m0", "m2", "m4"]


async def test_withheld_ids_stay_and_are_offered_again_later(bench: Bench) -> None:
    await bench.finish(*FIVE)
    answers = [Ack(retry=frozenset({"m2", "who?"}))]

    async def behave(reports: Sequence[Report]) -> Ack:
        return answers.pop() if answers else Ack()

    sink = ScriptedSink(behave)
    reporter = bench.reporter(sink)
    assert await reporter.run_once() == 4
    assert await reporter.run_once() == 0
    assert len(sink.calls) == 1
    bench.clock.advance(WITHHELD_DELAY)
    assert await reporter.run_once() == 1
    assert sink.calls[1] == ["m2"]


async def test_withheld_ids_do_not_hold_up_others(bench: Bench) -> None:
    await bench.finish("m0")

    async def withhold(reports: Sequence[Report]) -> Ack:
        return Ack(retry=frozenset({"m0"}))

    reporter = bench.reporter(ScriptedSink(withhold))
    assert await reporter.run_once() == 0
    await bench.finish("m1")
    assert await reporter.run_once() == 1


@pytest.mark.fault("sink.result_changes")
async def test_a_result_recorded_during_a_call_is_not_acknowledged_by_it(bench: Bench) -> None:
    await bench.finish("m1", error="550 no")
    seen: list[tuple[str | None, int | None]] = []

    async def resubmit(reports: Sequence[Report]) -> Ack:
        seen.extend((report.error, report.sent_ts) for report in reports)
        if len(seen) == 1:
            await bench.finish("m1")
        return Ack()

    reporter = bench.reporter(ScriptedSink(resubmit))
    assert await reporter.run_once() == 2
    assert seen == [("550 no", None), (None, int(bench.clock.wall()))]
    assert await bench.reported("m1")


async def test_nothing_of_the_store_is_held_during_a_call(bench: Bench) -> None:
    await bench.finish("m1")

    async def call_back(reports: Sequence[Report]) -> Ack:
        async with asyncio.timeout(2):
            now = bench.clock.wall()
            await bench.store.add([NewMessage("default", "m2", "shop", 2, now, payload="{}")])
        return Ack()

    reporter = bench.reporter(ScriptedSink(call_back))
    assert await reporter.run_once() == 1
    assert bench.store.pending() == 1


async def test_sinks_do_not_wait_for_each_other(bench: Bench) -> None:
    await bench.store.activate_sinks(["app", "archive"])
    await bench.finish("m1")
    app, archive = ScriptedSink(failing(down())), ScriptedSink()
    to_app = bench.reporter(app)
    to_archive = bench.reporter(archive, "archive")
    assert await to_app.run_once() == 0
    assert await to_archive.run_once() == 1
    assert not await bench.reported("m1")
    bench.clock.advance(1)
    assert await to_app.run_once() == 1
    assert await bench.reported("m1")


async def test_what_a_sink_took_is_noted_once_and_not_sent_again_if_the_store_failed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.finish("m1")
    sink = ScriptedSink()
    reporter = bench.reporter(sink)
    acknowledge, noted = bench.store.acknowledge, []

    async def fail_once(name: str, reports: Sequence[Report]) -> None:
        noted.append([report.id for report in reports])
        if len(noted) == 1:
            raise StoreUnavailable("the database is away")
        await acknowledge(name, reports)

    monkeypatch.setattr(bench.store, "acknowledge", fail_once)
    with pytest.raises(StoreUnavailable):
        await reporter.run_once()
    await reporter.run_once()
    await reporter.run_once()
    assert sink.calls == [["m1"]]
    assert noted == [["m1"], ["m1"]]
    assert await bench.reported("m1")


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.fault("sink.unreachable")
async def test_a_sink_that_is_down_is_called_at_growing_distances(bench: Bench) -> None:
    await bench.finish("m1")
    sink = ScriptedSink(failing(*(down() for _ in range(12))))
    reporter = bench.reporter(sink)
    distances = []
    while not sink.taken:
        start, calls = bench.clock.steady(), len(sink.calls)
        while len(sink.calls) == calls:
            await reporter.run_once()
            if len(sink.calls) == calls:
                bench.clock.advance(1)
        distances.append(bench.clock.steady() - start)
    assert distances[:5] == [0, 1, 2, 4, 8]
    assert distances[-1] == LONGEST_BACKOFF
    assert await bench.reported("m1")


async def test_distances_are_spread(bench: Bench) -> None:
    await bench.finish("m1")
    reporter = bench.reporter(ScriptedSink(failing(down())), spread=lambda: 1.0)
    assert await reporter.run_once() == 0
    bench.clock.advance(0.79)
    assert await reporter.run_once() == 0
    bench.clock.advance(0.02)
    assert await reporter.run_once() == 1


async def test_success_starts_the_distances_anew(bench: Bench) -> None:
    sink = ScriptedSink(failing(down(), down(), None, down()))
    reporter = bench.reporter(sink)
    await bench.finish("m1")
    for seconds in (1, 2, 0):
        await reporter.run_once()
        bench.clock.advance(seconds)
    assert sink.taken == ["m1"]
    await bench.finish("m2")
    await reporter.run_once()
    bench.clock.advance(1)
    assert await reporter.run_once() == 1


async def test_the_wish_of_the_receiver_is_honoured(bench: Bench) -> None:
    await bench.finish("m1")
    sink = ScriptedSink(failing(down(retry_after=120)))
    reporter = bench.reporter(sink)
    assert await reporter.run_once() == 0
    bench.clock.advance(119)
    assert await reporter.run_once() == 0
    bench.clock.advance(1)
    assert await reporter.run_once() == 1


async def test_run_now_overrides_every_distance(bench: Bench) -> None:
    await bench.finish("m1")
    sink = ScriptedSink(failing(down(), down(retry_after=3000)))
    reporter = bench.reporter(sink)
    await reporter.run_once()
    reporter.sync_now()
    await reporter.run_once()
    assert len(sink.calls) == 2
    reporter.sync_now()
    assert await reporter.run_once() == 1


async def test_a_refused_list_is_halved_until_the_entry_at_fault_is_alone(bench: Bench) -> None:
    ids = [f"m{number}" for number in range(30)]
    await bench.finish(*ids)

    async def refuse(reports: Sequence[Report]) -> Ack:
        if any(report.id == "m7" for report in reports):
            raise SinkRefused("the answer is 400")
        return Ack()

    sink = ScriptedSink(refuse)
    reporter = bench.reporter(sink)
    for _ in range(4):  # a pause follows each call with a single report that is refused
        await reporter.run_once()
        bench.clock.advance(1)
    assert sorted(sink.taken) == sorted(set(ids) - {"m7"})
    assert len(sink.calls) < 20
    assert await bench.unreported() == []  # put off
    await bench.finish("m30")
    assert await reporter.run_once() == 1
    calls = len(sink.calls)
    bench.clock.advance(60)
    sink.behave = take_all
    assert await reporter.run_once() == 1
    assert sink.calls[calls:] == [["m7"]]


async def test_a_list_that_fails_three_times_is_halved_too(bench: Bench) -> None:
    await bench.finish(*FIVE)

    async def crash(reports: Sequence[Report]) -> Ack:
        if any(report.id == "m3" for report in reports):
            raise down()
        return Ack()

    sink = ScriptedSink(crash)
    reporter = bench.reporter(sink)
    await reporter.run_once()
    await bench.finish("m5")  # what comes meanwhile does not change the list that is on trial
    for _ in range(20):
        bench.clock.advance(LONGEST_BACKOFF)
        await reporter.run_once()
    assert sink.calls[:3] == [FIVE, FIVE, FIVE]
    assert sorted(sink.taken) == ["m0", "m1", "m2", "m4", "m5"]


async def test_an_outage_puts_nothing_off(bench: Bench) -> None:
    await bench.finish(*FIVE)
    sink = ScriptedSink(failing(*(down() for _ in range(40))))
    reporter = bench.reporter(sink)
    while len(sink.calls) < 40:
        await reporter.run_once()
        bench.clock.advance(LONGEST_BACKOFF)
    reporter.sync_now()
    assert await reporter.run_once() == 5


@pytest.mark.parametrize("answer", [None, True, {"accepted": ["m1"]}, Ack(accepted={"m1": 1})])  # type: ignore[arg-type]
async def test_a_nonsense_answer_acknowledges_nothing(bench: Bench, answer: object) -> None:
    await bench.finish("m1")

    async def nonsense(reports: Sequence[Report]) -> Any:
        return answer

    reporter = bench.reporter(ScriptedSink(nonsense))
    assert await reporter.run_once() == 0
    assert await bench.unreported() == ["m1"]
    assert b'plugin_errors_total{kind="sink",plugin="app"} 1.0' in await bench.metrics.render()


async def test_an_exception_of_a_sink_is_a_failed_call_and_counted_once(bench: Bench) -> None:
    await bench.finish("m1")
    reporter = bench.reporter(ScriptedSink(failing(ZeroDivisionError("oops"), down())))
    assert await reporter.run_once() == 0
    bench.clock.advance(1)
    assert await reporter.run_once() == 0
    bench.clock.advance(2)
    assert await reporter.run_once() == 1
    assert b'plugin_errors_total{kind="sink",plugin="app"} 2.0' in await bench.metrics.render()


async def test_an_answer_that_takes_nothing_is_a_failed_call(bench: Bench) -> None:
    await bench.finish("m1")

    async def take_none(reports: Sequence[Report]) -> Ack:
        return Ack(accepted=frozenset())

    sink = ScriptedSink(take_none)
    reporter = bench.reporter(sink)
    assert await reporter.run_once() == 0
    assert await reporter.run_once() == 0
    assert len(sink.calls) == 1


async def test_a_call_over_its_deadline_is_a_failed_call(bench: Bench) -> None:
    await bench.finish("m1")
    begun = asyncio.Event()

    async def hang(reports: Sequence[Report]) -> Ack:
        begun.set()
        await asyncio.Event().wait()
        return Ack()

    sink = ScriptedSink(hang)
    reporter = bench.reporter(sink)
    async with asyncio.timeout(5):
        call = asyncio.create_task(reporter.run_once())
        await begun.wait()
        bench.clock.advance(sink.timeout + 1)
        assert await call == 0
    sink.behave = take_all
    bench.clock.advance(1)
    assert await reporter.run_once() == 1


# --- polling -------------------------------------------------------------------------------------


async def test_a_sink_that_does_not_poll_is_never_called_with_an_empty_list(bench: Bench) -> None:
    sink = ScriptedSink()
    reporter = bench.reporter(sink)
    reporter.sync_now()
    assert await reporter.run_once() == 0
    assert sink.calls == []


async def test_a_sink_that_polls_is_called_when_idle_that_long(bench: Bench) -> None:
    sink = ScriptedSink(poll_seconds=300)
    reporter = bench.reporter(sink)
    await reporter.run_once()
    assert sink.calls == [[]]
    bench.clock.advance(299)
    await reporter.run_once()
    assert len(sink.calls) == 1
    bench.clock.advance(1)
    await reporter.run_once()
    assert len(sink.calls) == 2
    reporter.sync_now()
    await reporter.run_once()
    assert len(sink.calls) == 3


async def test_reports_count_as_a_poll(bench: Bench) -> None:
    await bench.finish("m1")
    sink = ScriptedSink(poll_seconds=300)
    reporter = bench.reporter(sink)
    reporter.sync_now()
    await reporter.run_once()
    assert sink.calls == [["m1"]]


async def test_a_poll_that_failed_is_repeated(bench: Bench) -> None:
    sink = ScriptedSink(failing(down()), poll_seconds=300)
    reporter = bench.reporter(sink)
    await reporter.run_once()
    bench.clock.advance(1)
    await reporter.run_once()
    assert sink.calls == [[], []]


async def test_run_now_during_a_call_leads_to_another_one_after_it(bench: Bench) -> None:
    sink = ScriptedSink(poll_seconds=300)
    reporter = bench.reporter(sink)

    async def run_now_twice(reports: Sequence[Report]) -> Ack:
        if len(sink.calls) == 1:
            reporter.sync_now()
            reporter.sync_now()
        return Ack()

    sink.behave = run_now_twice
    reporter.sync_now()
    reporter.sync_now()
    await reporter.run_once()
    assert len(sink.calls) == 2


async def test_again_leads_to_another_call_at_once(bench: Bench) -> None:
    sink = ScriptedSink(poll_seconds=300)

    async def three_times(reports: Sequence[Report]) -> Ack:
        return Ack(again=len(sink.calls) < 3)

    sink.behave = three_times
    reporter = bench.reporter(sink)
    await reporter.run_once()
    assert sink.calls == [[], [], []]


async def test_a_receiver_that_always_says_again_is_not_called_in_a_busy_loop(bench: Bench) -> None:
    async def ever(reports: Sequence[Report]) -> Ack:
        return Ack(again=True)

    sink = ScriptedSink(ever, poll_seconds=300)
    reporter = bench.reporter(sink)
    await reporter.run_once()
    assert len(sink.calls) == MAX_AGAIN + 1
    bench.clock.advance(1)
    await reporter.run_once()
    assert len(sink.calls) == MAX_AGAIN + 2


async def test_a_receiver_may_ask_not_to_be_called_before_a_time(bench: Bench) -> None:
    answers = [Ack(not_before=bench.clock.wall() + 600)]

    async def behave(reports: Sequence[Report]) -> Ack:
        return answers.pop() if answers else Ack()

    sink = ScriptedSink(behave, poll_seconds=300)
    reporter = bench.reporter(sink)
    await reporter.run_once()
    await bench.finish("m1")
    bench.clock.advance(599)
    assert await reporter.run_once() == 0
    bench.clock.advance(1)
    assert await reporter.run_once() == 1


async def test_run_now_overrides_that_time(bench: Bench) -> None:
    async def behave(reports: Sequence[Report]) -> Ack:
        return Ack(not_before=bench.clock.wall() + 600)

    sink = ScriptedSink(behave, poll_seconds=300)
    reporter = bench.reporter(sink)
    await reporter.run_once()
    await bench.finish("m1")
    reporter.sync_now()
    assert await reporter.run_once() == 1


# --- the loop ------------------------------------------------------------------------------------


class Loop:
    """A running report loop whose sink's calls can be awaited."""

    def __init__(self, bench: Bench, poll_seconds: float | None = None) -> None:
        self.bench = bench
        self.called = asyncio.Condition()
        self.sink = ScriptedSink(self.answer, poll_seconds)

    async def answer(self, reports: Sequence[Report]) -> Ack:
        async with self.called:
            self.called.notify_all()
        return Ack()

    async def calls(self, number: int) -> None:
        async with asyncio.timeout(5), self.called:
            await self.called.wait_for(lambda: len(self.sink.calls) >= number)


async def test_the_loop_reports_as_soon_as_it_is_woken(bench: Bench) -> None:
    loop = Loop(bench)
    reporter = bench.reporter(loop.sink)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reporter.run())
        await bench.finish("m1")
        reporter.wake()
        await loop.calls(1)
        await bench.finish("m2")
        reporter.wake()
        await loop.calls(2)
        task.cancel()
    assert loop.sink.calls == [["m1"], ["m2"]]


async def test_the_loop_polls_at_the_start_and_on_run_now(bench: Bench) -> None:
    loop = Loop(bench, poll_seconds=300)
    reporter = bench.reporter(loop.sink)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reporter.run())
        await loop.calls(1)
        reporter.sync_now()
        await loop.calls(2)
        task.cancel()
    assert loop.sink.calls == [[], []]


async def test_the_loop_wakes_by_itself_when_a_call_is_due(bench: Bench) -> None:
    loop = Loop(bench, poll_seconds=0.05)
    reporter = bench.reporter(loop.sink, clock=SystemClock())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reporter.run())
        await loop.calls(3)
        task.cancel()
    assert loop.sink.calls[:3] == [[], [], []]


async def test_in_test_mode_nothing_but_run_now_makes_a_call(bench: Bench) -> None:
    loop = Loop(bench, poll_seconds=0.01)
    reporter = bench.reporter(loop.sink, test_mode=True)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reporter.run())
        await bench.finish("m1")
        reporter.wake()
        bench.clock.advance(1)
        for _ in range(20):  # time enough for a pass, which asks the same connection
            await bench.unreported()
        assert loop.sink.calls == []
        reporter.sync_now()
        await loop.calls(1)
        task.cancel()
    assert loop.sink.calls == [["m1"]]


async def test_the_loop_outlives_a_store_that_fails(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("asyncmail.scheduler.report.FAILURE_PAUSE", 0.01)
    loop = Loop(bench)
    reporter = bench.reporter(loop.sink)
    unreported = bench.store.unreported
    failures: list[Exception] = [StoreUnavailable("away"), sqlite3.Error("odd")]

    async def fail_twice(sink: str, limit: int) -> list[Report]:
        if failures:
            raise failures.pop(0)
        return await unreported(sink, limit)

    monkeypatch.setattr(bench.store, "unreported", fail_twice)
    await bench.finish("m1")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reporter.run())
        await loop.calls(1)
        task.cancel()
    assert "wait for the store" in caplog.text
    assert "unexpected" in caplog.text
