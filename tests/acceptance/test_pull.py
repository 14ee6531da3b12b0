"""The pull protocol with an application that does as Genropy does: it hands in mail inside the sync."""

from __future__ import annotations

from real_service import RealService, mail

from asyncmail.testing import FaultSMTP, Post, Reply, ReportReceiver


async def test_run_now_posts_at_once_even_with_nothing_to_report(service: RealService) -> None:
    async with ReportReceiver() as application:
        service.config["client"] = {"proxy_sync_url": application.url}
        await service.start()
        await application.wait_for(lambda: len(application.posts) == 1)  # the one at the start
        await service.post("/commands/run-now")
        await application.wait_for(lambda: len(application.posts) == 2)
    assert [post.json() for post in application.posts] == [{"delivery_report": []}] * 2


async def test_mail_handed_in_inside_a_sync_is_taken_and_sent(service: RealService) -> None:
    waiting = [[mail(f"m{batch}-{number}") for number in range(50)] for batch in range(3)]

    async def pull(post: Post) -> Reply:
        """What is waiting goes out before the sync is answered, and the answer says so."""
        if not waiting:
            return Reply(body={"sent": len(post.reports), "queued": 0})
        answer = await service.hand_in(waiting.pop())
        return Reply(body={"sent": len(post.reports), "queued": answer["queued"]})

    async with FaultSMTP() as smtp, ReportReceiver() as application:
        service.config["client"] = {"proxy_sync_url": application.url}
        await service.start()
        await service.account(smtp.port)
        await application.wait_for(lambda: not application.busy and bool(application.posts))
        application.answer = pull
        await service.post("/commands/run-now")
        await application.wait_for(lambda: len(application.acknowledged) == 150, timeout=30)
        assert not waiting, "queued > 0 in an answer leads to another sync"
        assert set(smtp.copies.values()) == {1}
        assert len(smtp.copies) == 150


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
