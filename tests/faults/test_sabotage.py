"""Builds that break a promise on purpose: what judges the crash runs has to see each of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from asyncmail.testing import FaultSMTP, Post, Reply, ReportReceiver
from asyncmail.testing.crash import CrashAt, Kills, Verdict
from asyncmail.testing.real_service import ASYNCMAIL, RealService, mail, until

PATIENCE = 10.0  # seconds for what a sabotaged build never does
SEED = 1  # among its first messages are some whose reply is lost, and some that are refused


def sabotaged(name: str) -> tuple[str, ...]:
    """What runs ``serve`` with that harm done to it."""
    return (sys.executable, str(Path(__file__).parent / "sabotage" / f"{name}.py"))


async def crashed(folder: Path, point: str, name: str) -> Verdict:
    """The verdict on a sabotaged build that ended at a failpoint."""
    program = sabotaged(name)
    return await CrashAt(folder / "run", point, SEED, program=program, patience=PATIENCE).run()


async def test_claims_that_are_not_committed_are_caught(tmp_path: Path) -> None:
    verdict = await crashed(tmp_path, "dot.replied", "without_claim_commit")
    assert verdict.unexplained


async def test_an_answer_before_the_commit_is_caught(tmp_path: Path) -> None:
    verdict = await crashed(tmp_path, "accept.in_tx", "answered_before_commit")
    assert verdict.lost


async def test_an_uncertain_attempt_that_is_not_counted_is_caught(tmp_path: Path) -> None:
    program = sabotaged("uncertain_is_not_counted")
    verdict = await Kills(tmp_path / "run", SEED, program=program, patience=PATIENCE).run(2)
    assert verdict.injected
    assert verdict.unexplained


async def test_an_acknowledgement_before_the_post_is_caught(tmp_path: Path) -> None:
    verdict = await crashed(tmp_path, "report.ack_committed", "acknowledged_before_the_post")
    assert verdict.unreported


async def test_a_success_that_was_not_waited_for_is_caught(tmp_path: Path) -> None:
    verdict = await crashed(tmp_path, "report.posted", "sent_before_the_reply")
    assert verdict.untrue


@pytest.mark.fault("sink.result_changes")
@pytest.mark.parametrize(
    ("program", "told"),
    [(ASYNCMAIL, True), (sabotaged("acknowledged_by_id"), False)],
    ids=["asyncmail", "sabotaged"],
)
async def test_a_result_that_came_while_an_older_one_was_posted_is_reported_too(
    tmp_path: Path, program: tuple[str, ...], told: bool
) -> None:
    async with (
        FaultSMTP() as smtp,
        ReportReceiver() as receiver,
        RealService(tmp_path, program=program) as service,
    ):
        service.config["client"] = {"proxy_sync_url": receiver.url}
        await service.start()
        await service.account(smtp.port)
        again = mail("m1", "m1+rcpt.550~1@fault.test")

        async def sent() -> bool:
            return bool((await service.get("/messages/m1"))["sent_ts"])

        async def hand_in_again(post: Post) -> Reply | None:
            """The application repairs what failed before it answers."""
            if any(entry["error_ts"] for entry in post.reports):
                await service.hand_in([again])
                await until(sent)
            return None

        async def settled() -> bool:
            reports: list[dict[str, Any]] = (await service.get("/messages/m1"))["reports"]
            return len(reports) == 2 and all(report["acknowledged_ts"] for report in reports)

        receiver.answer = hand_in_again
        await service.hand_in([again])
        await until(settled)
        results = ["sent" if entry["sent_ts"] else "error" for entry in receiver.by_id["m1"]]
        assert results == (["error", "sent"] if told else ["error"])
