"""When the store cannot take what it is given, nothing is lost or said of the wrong one."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asyncmail.errors import AttemptRevoked
from asyncmail.outcome import Decision, Next
from asyncmail.scheduler.attempt import ClaimedAttempt
from asyncmail.scheduler.results import Finished, Results, result_of
from asyncmail.store.base import Lane, NewMessage, Pick
from asyncmail.store.keys import KeyRing
from asyncmail.store.sqlite import SQLiteStore
from asyncmail.testing import FaultSMTP, ManualClock, Profile
from asyncmail.testing.running import RunningService, StartService, mail

LANE = Lane("default", "shop")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody else holds the database's write lock."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


class Open:
    """A gate that lets everybody through."""

    may_begin = True
    may_finish = True


async def test_an_intent_that_cannot_be_recorded_takes_the_message_back_before_its_dot(
    tmp_path: Path, clock: ManualClock
) -> None:
    store = SQLiteStore(tmp_path / "q.db", clock=clock, keys=KeyRing.load(tmp_path / "q.key"))
    await store.open()
    await store.add([NewMessage("default", "m1", "shop", 2, clock.wall(), "{}")])
    pick = Pick(LANE, (0, 1, 2, 3), 1, hold=True)
    (claim,) = (await store.claim([pick], max_bytes=1000)).claims
    attempt = ClaimedAttempt(claim, store, clock, Open(), clock.wall())
    await store.close()
    with pytest.raises(AttemptRevoked, match="intent could not be recorded"):
        await attempt.before_dot()
    assert attempt.taken_back


async def test_stopping_ends_in_time_although_the_store_takes_nothing(
    start: StartService,
) -> None:
    async with FaultSMTP(profile=Profile(script="dot.sleep200")) as slow:
        async with start() as app:
            await app.account(port=slow.port)
            await app.hand_in(mail())
            dispatch = asyncio.create_task(app.dispatch())
            await slow.wait_for(lambda: slow.dots_pending == 1)
            with locked(app.service.settings.storage.path):
                async with asyncio.timeout(4):  # the grace of these services is 2 seconds
                    await app.service.stop()
            dispatch.cancel()
        async with start() as app:
            assert await app.status("m1") in ("sent", "queued")


async def test_a_result_that_cannot_be_recorded_as_it_is_ends_alone_and_plainly(
    tmp_path: Path, clock: ManualClock
) -> None:
    store = SQLiteStore(tmp_path / "q.db", clock=clock, keys=KeyRing.load(tmp_path / "q.key"))
    await store.open()
    recorded: list[tuple[Finished, bool]] = []
    results = Results(store, recorded.extend, lambda: None)
    now = clock.wall()
    await store.add([NewMessage("default", id, "shop", 2, now, "{}") for id in ("good", "bad")])
    claims = (await store.claim([Pick(LANE, (0, 1, 2, 3), 2)], max_bytes=1000)).claims
    decision = Decision(Next.SENT)
    good, bad = (result_of(c, decision, wall=now, steady=now) for c in claims)
    bad.uncertain = object()  # nothing that SQLite can keep
    results.put(Finished(claims[0], decision, good))
    results.put(Finished(claims[1], decision, bad))
    async with asyncio.timeout(5):
        await results.drained()
    history = await store.history("default", "good")
    assert history is not None
    assert history.record.status == "sent"
    assert len(recorded) == 2
    await store.close()


async def test_suspend_and_activate_at_once_leave_memory_and_database_agreed(
    app: RunningService,
) -> None:
    await asyncio.gather(
        *(app.post(f"/commands/{verb}") for verb in ("activate", "suspend") for _ in range(5))
    )
    shown = (await app.client.get("/status")).json()["active"]
    assert shown == await app.service.store.is_active()


async def test_a_suspend_that_is_refused_is_not_kept(app: RunningService) -> None:
    with locked(app.service.settings.storage.path):
        response = await app.client.post("/commands/suspend")
    assert response.status_code == 503
    assert (await app.client.get("/status")).json()["active"] is True


async def test_a_jump_of_the_wall_clock_makes_no_message_too_old(
    app: RunningService, smtp: FaultSMTP
) -> None:
    await app.account(port=1)
    await app.hand_in(mail())
    app.clock.set_wall(app.clock.wall() + 6 * 86400)
    await app.dispatch()
    await app.post("/commands/run-now")
    assert await app.status("m1") == "queued"


@pytest.mark.parametrize("hold", [False, True])
async def test_a_secret_that_a_server_repeats_is_masked_in_listings(
    start: StartService, hold: bool
) -> None:
    secret = "k3ep-this-secret"
    reply = b"550 5.7.1 user shop / k3ep-this-secret may not relay\r\n"
    profile = Profile(
        script="mail.raw-said", raw={"said": reply}, auth=("shop", secret), clear_auth=True
    )
    async with FaultSMTP(profile=profile) as talkative, start() as app:
        await app.account(
            port=talkative.port,
            user="shop",
            password=secret,
            on_uncertain="hold" if hold else "retry",
        )
        await app.hand_in(mail())
        await app.dispatch()
        text = (await app.client.get("/messages/m1")).text
        assert "may not relay" in text
        assert secret not in text
