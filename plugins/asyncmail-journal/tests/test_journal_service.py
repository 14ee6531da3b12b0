"""The whole service with this observer: the journal tells a message's story in order."""

from __future__ import annotations

from pathlib import Path

from journal_reading import lines

from asyncmail.testing import FaultSMTP, ManualClock
from asyncmail.testing.running import StartService, mail


async def test_the_story_of_a_message_is_in_the_journal_across_a_restart(
    tmp_path: Path, path: Path, clock: ManualClock
) -> None:
    plugins = {"observers": ("journal",), "journal": {"path": str(path)}}
    async with FaultSMTP() as smtp:
        start = StartService(tmp_path, clock, smtp.port, plugins=plugins)
        async with start() as service:
            await service.account()
            await service.hand_in(mail("m1", "x+rcpt.451.once@fault.example"))
            await service.dispatch()
        clock.advance(3600)
        async with start() as service:
            await service.dispatch()
    story = [line for line in lines(path) if line.get("id") == "m1"]
    assert [line["kind"] for line in story] == ["accepted", "deferred", "sent"]
    assert [line["recipients"][0]["code"] for line in story[1:]] == [451, 250]
    assert [line["seq"] for line in lines(path)] == list(range(1, len(lines(path)) + 1))
