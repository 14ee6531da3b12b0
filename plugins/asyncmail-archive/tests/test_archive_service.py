"""The whole service with this policy: a message leaves the database once it is in the archive."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from archive_places import files, lines

from asyncmail.testing import ManualClock
from asyncmail.testing.running import RunningService, mail

WEEK = 7 * 86400


@pytest.fixture
def service_plugins(tmp_path: Path) -> Mapping[str, Any]:
    """Without a sink a message may go a while after its result."""
    archive = {"to": str(tmp_path / "archive"), "hold_tags": ["lawsuit"]}
    return {"sinks": [], "retention": ["archive"], "archive": archive}


async def known(service: RunningService, *ids: str) -> list[str]:
    answers = [(id, await service.client.get(f"/messages/{id}")) for id in ids]
    return [id for id, answer in answers if answer.status_code == 200]


async def sweep(service: RunningService) -> int:
    return await service.service.scheduler.cleanup(None)


async def test_a_message_is_deleted_once_it_is_archived(
    service: RunningService, clock: ManualClock, tmp_path: Path
) -> None:
    root = tmp_path / "archive"
    await service.hand_in(mail("m1", tags=["x"]), mail("m2", tags=["lawsuit"]))
    await service.dispatch()
    assert await sweep(service) == 0
    clock.advance(WEEK + 60)

    root.rename(tmp_path / "elsewhere")
    assert await sweep(service) == 0
    assert await known(service, "m1", "m2") == ["m1", "m2"]

    (tmp_path / "elsewhere").rename(root)
    assert await sweep(service) == 1
    assert await known(service, "m1", "m2") == ["m2"]
    [data] = files(root).values()
    [line] = lines(data)
    assert (line["id"], line["message"]["subject"]) == ("m1", "Hello")


async def test_a_cleanup_by_hand_archives_too_and_leaves_what_is_held(
    service: RunningService, tmp_path: Path
) -> None:
    await service.hand_in(mail("m1"), mail("m2", tags=["lawsuit"]))
    await service.dispatch()
    service.clock.advance(2)
    assert await service.service.scheduler.cleanup(0) == 1
    assert await known(service, "m1", "m2") == ["m2"]
    [data] = files(tmp_path / "archive").values()
    assert [line["id"] for line in lines(data)] == ["m1"]
