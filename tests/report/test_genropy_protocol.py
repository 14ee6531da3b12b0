"""The reporter and the genropy sink together, against a receiver over HTTP that calls back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from report_bench import LANE, Bench

from asyncmail.builtin.genropy import GenropySettings, GenropySink
from asyncmail.clock import SystemClock
from asyncmail.scheduler.report import Reporter
from asyncmail.store.base import NewMessage
from asyncmail.testing import ReportReceiver
from asyncmail.testing.receiver import Post, Reply


@asynccontextmanager
async def reporting(bench: Bench, receiver: ReportReceiver) -> AsyncIterator[Reporter]:
    """A reporter in service."""
    settings = GenropySettings(proxy_sync_url=receiver.url, sync_timeout_seconds=5)
    logger = logging.getLogger("asyncmail.plugins.genropy")
    sink = GenropySink(settings, SimpleNamespace(clock=bench.clock, logger=logger))
    await sink.start()
    reporter = bench.reporter(sink, clock=SystemClock())
    task = asyncio.create_task(reporter.run())
    try:
        yield reporter
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await sink.stop()


async def test_results_arrive_within_a_second_of_their_commit(bench: Bench) -> None:
    async with ReportReceiver() as receiver, reporting(bench, receiver) as reporter:
        await receiver.wait_for(lambda: len(receiver.posts) == 1)
        assert receiver.posts[0].json() == {"delivery_report": []}
        await bench.finish("m1")
        reporter.wake()
        await receiver.wait_for(lambda: len(receiver.acknowledged) == 1, timeout=1)
    assert receiver.acknowledged[0]["id"] == "m1"


@pytest.mark.fault("sink.calls_back")
async def test_a_receiver_may_hand_in_mail_and_say_run_now_before_it_answers(bench: Bench) -> None:
    """Genropy does all of this inside its handler; the mail is on its way before the answer."""
    reporter: Reporter

    async def handler(post: Post) -> Reply | None:
        if len(receiver.posts) > 1:
            return None
        now = bench.clock.wall()
        await bench.store.add([NewMessage("default", "m1", "shop", 2, now, payload="{}")])
        reporter.sync_now()
        assert await bench.store.ready_lanes() == {LANE}
        return Reply(body={"sent": 0, "error": 0, "deferred": 0, "queued": 1})

    async with ReportReceiver(answer=handler) as receiver, reporting(bench, receiver) as reporter:
        await receiver.wait_for(lambda: len(receiver.posts) == 2, timeout=1)
    assert bench.store.pending() == 1


async def test_run_now_leads_to_a_post_even_with_an_empty_list(bench: Bench) -> None:
    async with ReportReceiver() as receiver, reporting(bench, receiver) as reporter:
        await receiver.wait_for(lambda: len(receiver.posts) == 1 and not receiver.busy)
        reporter.sync_now()
        await receiver.wait_for(lambda: len(receiver.posts) == 2, timeout=1)
    assert receiver.reports == []


@pytest.mark.fault("sink.lost_answer")
async def test_a_lost_answer_leads_to_the_same_reports_again(bench: Bench) -> None:
    await bench.finish("m1", "m2")
    async with ReportReceiver(script=[Reply(cut=0)]) as receiver, reporting(bench, receiver):
        await receiver.wait_for(lambda: len(receiver.acknowledged) == 2)
    assert receiver.posts[0].reports == receiver.posts[1].reports


async def test_a_call_cut_short_by_a_stop_is_repeated_after_the_next_start(bench: Bench) -> None:
    await bench.finish("m1")
    never = asyncio.Event()

    async def hang(post: Post) -> Reply | None:
        await never.wait()
        return None

    async with ReportReceiver(script=[hang]) as receiver:
        async with reporting(bench, receiver):
            await receiver.wait_for(lambda: len(receiver.posts) == 1)
        assert await bench.unreported() == ["m1"]
        async with reporting(bench, receiver):
            await receiver.wait_for(lambda: len(receiver.acknowledged) == 1)


async def test_a_backlog_is_posted_a_thousand_at_a_time(bench: Bench) -> None:
    ids = [f"m{number:04}" for number in range(2500)]
    await bench.finish(*ids)
    async with ReportReceiver() as receiver, reporting(bench, receiver):
        await receiver.wait_for(lambda: len(receiver.acknowledged) == len(ids), timeout=20)
    assert [len(post.reports) for post in receiver.posts[:3]] == [1000, 1000, 500]
    assert sorted(receiver.by_id) == ids
