"""The pull protocol with an application that does as Genropy does: it hands in mail inside the sync."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from statistics import median

import pytest

from asyncmail.testing import FaultSMTP, Post, Reply, ReportReceiver
from asyncmail.testing.real_service import RealService, mail


async def test_run_now_posts_at_once_even_with_nothing_to_report(service: RealService) -> None:
    async with ReportReceiver() as application:
        service.config["client"] = {"proxy_sync_url": application.url}
        await service.start()
        await application.wait_for(lambda: len(application.posts) == 1)  # the one at the start
        await service.post("/commands/run-now")
        await application.wait_for(lambda: len(application.posts) == 2)
    assert [post.json() for post in application.posts] == [{"delivery_report": []}] * 2


def pulling(service: RealService, batches: int) -> Callable[[Post], Awaitable[Reply]]:
    """An application with mail in so many batches: one goes out inside each sync, which says so."""
    waiting = [[mail(f"m{batch}-{number}") for number in range(50)] for batch in range(batches)]

    async def pull(post: Post) -> Reply:
        queued = (await service.hand_in(waiting.pop()))["queued"] if waiting else 0
        return Reply(body={"sent": len(post.reports), "queued": queued})

    return pull


async def test_mail_handed_in_inside_a_sync_is_taken_and_sent(service: RealService) -> None:
    async with FaultSMTP() as smtp, ReportReceiver() as application:
        service.config["client"] = {"proxy_sync_url": application.url}
        await service.start()
        await service.account(smtp.port)
        await application.wait_for(lambda: not application.busy and bool(application.posts))
        application.answer = pulling(service, 1)
        await service.post("/commands/run-now")
        await application.wait_for(lambda: len(application.acknowledged) == 50, timeout=30)
        assert len(smtp.copies) == 50
        assert set(smtp.copies.values()) == {1}


async def test_an_answer_that_tells_of_more_mail_leads_to_another_sync(
    service: RealService,
) -> None:
    async with ReportReceiver() as application:
        service.config["client"] = {"proxy_sync_url": application.url}
        await service.start()
        await service.account(9)
        await service.post("/commands/suspend")  # so that no result is a reason to sync
        await application.wait_for(lambda: not application.busy and bool(application.posts))
        application.answer = pulling(service, 3)
        await service.post("/commands/run-now")
        await application.wait_for(lambda: len(application.posts) == 5 and not application.busy)
        assert application.reports == []
        assert len((await service.get("/messages", active_only=True))["messages"]) == 150


async def test_an_application_that_is_slow_to_answer_holds_up_no_mail(
    service: RealService,
) -> None:
    async with FaultSMTP() as smtp, ReportReceiver(answer=Reply(delay=60)) as application:
        service.config["client"] = {"proxy_sync_url": application.url}
        await service.start()
        await service.account(smtp.port)
        await application.wait_for(lambda: application.busy == 1)
        await service.hand_in(mail(f"m{number}") for number in range(100))
        await smtp.wait_for(lambda: len(smtp.accepted) == 100, timeout=30)
        assert application.busy == 1


@pytest.mark.fault("sink.calls_back")
async def test_an_application_may_hand_in_mail_and_say_run_now_before_it_answers(
    service: RealService,
) -> None:
    taken: list[float] = []

    async def call_back(post: Post) -> Reply | None:
        if len(taken) < 5:
            began = time.monotonic()
            queued = (await service.hand_in([mail(f"m{len(taken)}")]))["queued"]
            await service.post("/commands/run-now")
            taken.append(time.monotonic() - began)
            return Reply(body={"sent": len(post.reports), "queued": queued})
        return None

    async with FaultSMTP() as smtp, ReportReceiver() as application:
        service.config["client"] = {"proxy_sync_url": application.url}
        await service.start()
        await service.account(smtp.port)
        await application.wait_for(lambda: not application.busy and bool(application.posts))
        application.answer = call_back
        await service.post("/commands/run-now")
        await application.wait_for(lambda: len(application.acknowledged) == 5, timeout=30)
        assert median(taken) < 1
        assert set(smtp.copies.values()) == {1}
