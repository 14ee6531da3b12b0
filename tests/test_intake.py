"""Intake: what validators may do to a batch, what is refused whole, and what the scheduler is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from asyncmail.errors import Rejected, StoreUnavailable
from asyncmail.intake import BREATH, Accepted, Entry, Intake, Rejection
from asyncmail.model import DEFAULT_TENANT, Account, Message, OnUncertain
from asyncmail.plugins.circuit import MAX_FAILURES
from asyncmail.plugins.guard import Guard
from asyncmail.plugins.interfaces import Validator
from asyncmail.plugins.kinds import Kind, Loaded
from asyncmail.scheduler.accounts import AccountDirectory
from asyncmail.scheduler.events import EventStream
from asyncmail.store.base import Filter, Lane, Pick, Result
from asyncmail.store.keys import KeyRing
from asyncmail.store.sqlite import SQLiteStore
from asyncmail.testing.clock import ManualClock

LANE = Lane(DEFAULT_TENANT, "shop")
Judge = Callable[[Message], Awaitable[Any]]


@dataclass
class Bell:
    """What intake tells the scheduler."""

    draining: bool = False
    woken: list[set[Lane]] = field(default_factory=list)
    reports_due: int = 0

    def wake(self, lanes: Iterable[Lane] = (), priorities: Collection[int] = ()) -> None:
        self.woken.append(set(lanes))

    def results_committed(self) -> None:
        self.reports_due += 1


class Says(Validator):
    """A validator made of a function."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    async def validate(self, message: Message, account: Account) -> Iterable[str] | None:
        assert account.id == message.account_id
        answer: Iterable[str] | None = await self._judge(message)
        return answer


@dataclass
class Desk:
    """A real store and what stands before it."""

    store: SQLiteStore
    directory: AccountDirectory
    clock: ManualClock
    bell: Bell = field(default_factory=Bell)
    failures: list[str] = field(default_factory=list)

    def intake(self, *judges: Judge, **settings: Any) -> Intake:
        guard = Guard(self.clock, on_failure=lambda loaded, cause: self.failures.append(cause))
        validators = [
            Loaded(Kind.VALIDATOR, f"v{n}", "a-package", "1", Says(judge))
            for n, judge in enumerate(judges)
        ]
        return Intake(
            self.store,
            self.directory,
            self.bell,
            guard,
            self.clock,
            EventStream(self.clock),
            validators=validators,
            random=Random(1),
            **settings,
        )

    async def stored(self) -> list[str]:
        which = Filter(DEFAULT_TENANT)
        return [r.id for r in await self.store.messages(which, limit=9999, max_bytes=10**9)]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock = ManualClock()
    store = SQLiteStore(tmp_path / "mail.db", clock=clock, keys=KeyRing.load(tmp_path / "key"))
    await store.open()
    await store.put_account(Account("shop", "smtp.example.com"), keep_password=False)
    directory = AccountDirectory(
        store, on_uncertain=OnUncertain.RETRY, on_secret=lambda secret: None
    )
    await directory.load()
    yield Desk(store, directory, clock)
    await store.close()


def entry(message_id: str = "m1", **fields: Any) -> Entry:
    payload = {
        "id": message_id,
        "account_id": "shop",
        "from": "shop@example.com",
        "to": "ann@example.org",
        "body": "Thank you.",
        **fields,
    }
    return Entry(message_id, payload)


async def accept(intake: Intake, *entries: Entry, **extra: Any) -> Accepted:
    accepted = await intake.accept(DEFAULT_TENANT, entries, **extra)
    assert accepted.queued + len(accepted.rejected) == len(entries)
    return accepted


# --- validators ----------------------------------------------------------------------------------


async def test_a_validator_rejects_one_message_and_the_rest_goes_on(desk: Desk) -> None:
    async def judge(message: Message) -> None:
        if message.id == "bad":
            raise Rejected("too many exclamation marks")

    accepted = await accept(desk.intake(judge), entry("a"), entry("bad"), entry("b"))
    assert accepted.rejected == [Rejection("bad", "too many exclamation marks")]
    assert await desk.stored() == ["a", "b"]
    assert desk.failures == []


async def test_validators_run_in_order_and_the_first_rejection_ends(desk: Desk) -> None:
    asked: list[str] = []

    async def first(message: Message) -> None:
        asked.append("first")
        raise Rejected("no")

    async def second(message: Message) -> None:
        asked.append("second")

    await accept(desk.intake(first, second), entry())
    assert asked == ["first"]
    asked.clear()
    await accept(desk.intake(second, first), entry())
    assert asked == ["second", "first"]


async def raises(message: Message) -> None:
    raise ValueError("secret")


async def exits(message: Message) -> None:
    raise SystemExit


async def answers_text(message: Message) -> str:
    return "fine"


async def answers_number(message: Message) -> int:
    return 1


async def answers_numbers(message: Message) -> list[int]:
    return [1]


@pytest.mark.parametrize("judge", [raises, exits, answers_text, answers_number, answers_numbers])
async def test_a_validator_that_fails_rejects_the_message_and_no_other(
    desk: Desk, judge: Judge
) -> None:
    async def picky(message: Message) -> Any:
        return await judge(message) if message.id == "poison" else None

    accepted = await accept(desk.intake(picky), entry("a"), entry("poison"), entry("b"))
    assert accepted.rejected == [Rejection("poison", "validator v0 failed")]
    assert await desk.stored() == ["a", "b"]
    assert len(desk.failures) == 1


async def test_warnings_reach_the_client_of_an_accepted_message_alone(desk: Desk) -> None:
    async def warn(message: Message) -> list[str]:
        return ["looks odd", "line\nend"]

    async def refuse(message: Message) -> None:
        if message.id == "bad":
            raise Rejected("no")

    accepted = await accept(desk.intake(warn, refuse), entry("good"), entry("bad"))
    assert [(n.id, n.warning) for n in accepted.warnings] == [
        ("good", "looks odd"),
        ("good", "line\\nend"),
    ]


async def test_a_duplicate_gets_no_warnings(desk: Desk) -> None:
    async def warn(message: Message) -> list[str]:
        return ["looks odd"]

    await accept(desk.intake(), entry())
    assert (await accept(desk.intake(warn), entry())).warnings == []


async def test_a_validator_that_hangs_fails_the_request_and_keeps_nothing(desk: Desk) -> None:
    asked = asyncio.Event()

    async def hang(message: Message) -> None:
        if message.id == "b":
            asked.set()
            await asyncio.Event().wait()

    intake = desk.intake(hang)
    request = asyncio.create_task(accept(intake, entry("a"), entry("b")))
    await asked.wait()
    desk.clock.advance(1.1)
    with pytest.raises(StoreUnavailable, match="v0"):
        await request
    assert await desk.stored() == []


async def test_a_quarantined_validator_fails_the_request_with_the_time_to_come_again(
    desk: Desk,
) -> None:
    asked: asyncio.Queue[str] = asyncio.Queue()

    async def hang(message: Message) -> None:
        asked.put_nowait(message.id)
        await asyncio.Event().wait()

    intake = desk.intake(hang)
    for _ in range(MAX_FAILURES):
        request = asyncio.create_task(accept(intake, entry()))
        await asked.get()
        desk.clock.advance(1.1)
        with pytest.raises(StoreUnavailable, match="did not answer"):
            await request
    with pytest.raises(StoreUnavailable, match="quarantined") as caught:
        await accept(intake, entry())
    assert asked.empty()
    assert caught.value.retry_after > 5
    assert await desk.stored() == []


async def test_validators_have_five_seconds_of_one_request_together(desk: Desk) -> None:
    async def slow(message: Message) -> None:
        desk.clock.advance(0.9)

    intake = desk.intake(slow)
    assert (await accept(intake, *(entry(f"a{n}") for n in range(5)))).queued == 5
    with pytest.raises(StoreUnavailable, match="validators took more than 5 s"):
        await accept(intake, *(entry(f"b{n}") for n in range(7)))
    assert len(await desk.stored()) == 5
    assert desk.failures == []


async def test_a_cancelled_request_stores_nothing(desk: Desk) -> None:
    asked = asyncio.Event()

    async def hang(message: Message) -> None:
        asked.set()
        await asyncio.Event().wait()

    request = asyncio.create_task(accept(desk.intake(hang), entry()))
    await asked.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await desk.stored() == []


# --- refused whole -------------------------------------------------------------------------------


async def test_nothing_is_taken_while_the_service_stops(desk: Desk) -> None:
    desk.bell.draining = True
    with pytest.raises(StoreUnavailable, match="stopping"):
        await accept(desk.intake(), entry())
    assert await desk.stored() == []


async def test_a_batch_that_would_overfill_the_queue_is_refused_whole(desk: Desk) -> None:
    intake = desk.intake(max_queued=3)
    await accept(intake, entry("a"), entry("b"))
    with pytest.raises(StoreUnavailable, match="queue is full"):
        await accept(intake, entry("c"), entry("d"))
    assert (await accept(intake, entry("c"))).queued == 1


# --- one message ---------------------------------------------------------------------------------


async def test_a_message_that_can_never_be_built_is_too_large(desk: Desk) -> None:
    intake = desk.intake(max_message_bytes=10_000)
    inline = {"filename": "a.bin", "storage_path": "base64:" + "QUJD" * 2600}
    accepted = await accept(
        intake,
        entry("body", body="x" * 10_001),
        entry("wide", body="é" * 5_001),
        entry("inline", attachments=[inline]),
        entry("quotes", body='"' * 9_000),
    )
    assert [r.id for r in accepted.rejected] == ["body", "wide", "inline"]
    assert all(r.reason.startswith("too large") for r in accepted.rejected)


async def test_what_is_stored_is_fixed_and_holds_nothing_else(desk: Desk) -> None:
    await accept(desk.intake(), entry(sent_ts=1, state="sent", html=True, subject=None))
    (record,) = await desk.store.messages(Filter(DEFAULT_TENANT), limit=1, max_bytes=10**6)
    payload = json.loads(record.payload)
    assert payload.keys() == {"id", "account_id", "from", "to", "body", "message_id"}
    assert payload["message_id"].endswith("@example.com>")


async def test_an_entry_without_a_payload_keeps_its_reason(desk: Desk) -> None:
    entries = [Entry("a", None, "invalid payload: x"), Entry("b\n", None, "invalid payload: y")]
    accepted = await accept(desk.intake(), *entries)
    assert accepted.rejected == [
        Rejection("a", "invalid payload: x"),
        Rejection(None, "invalid payload: y"),
    ]


async def test_the_policy_on_uncertain_outcomes_is_the_messages_own_or_the_accounts(
    desk: Desk,
) -> None:
    for policy in ("hold", "retry", None):
        await accept(desk.intake(), entry(str(policy), on_uncertain=policy))
    claims = (await desk.store.claim([Pick(LANE, (2,), 3, hold=True)], max_bytes=10**6)).claims
    assert {claim.id: claim.hold for claim in claims} == {
        "hold": True,
        "retry": False,
        "None": True,
    }


async def test_tenants_do_not_see_each_others_ids(desk: Desk) -> None:
    other = Account("shop", "smtp.example.com", tenant_id="other")
    await desk.store.put_account(other, keep_password=False)
    await desk.directory.load()
    await accept(desk.intake(), entry())
    accepted = await desk.intake().accept("other", [entry()])
    assert accepted.queued == 1


# --- duplicates ----------------------------------------------------------------------------------


async def finish(desk: Desk, *, sent: bool) -> None:
    (claim,) = (await desk.store.claim([Pick(LANE, (2,), 1)], max_bytes=10**6)).claims
    now = int(desk.clock.wall())
    result = Result(
        claim.key,
        claim.token,
        claim.lane,
        sent_ts=now if sent else None,
        error_ts=None if sent else now,
        error=None if sent else "550 no",
    )
    assert await desk.store.record([result]) == [True]


async def test_a_duplicate_is_answered_with_the_state_of_the_first(desk: Desk) -> None:
    intake = desk.intake()
    await accept(intake, entry())
    reasons = []
    reasons += (await accept(intake, entry())).rejected
    claims = (await desk.store.claim([Pick(LANE, (2,), 1)], max_bytes=10**6)).claims
    reasons += (await accept(intake, entry())).rejected
    await desk.store.release(claims)
    await finish(desk, sent=True)
    reasons += (await accept(intake, entry())).rejected
    states = ("queued", "sending", "sent")
    assert [r.reason for r in reasons] == [f"duplicate id: already {state}" for state in states]


async def test_a_sent_duplicate_makes_the_reports_run_again(desk: Desk) -> None:
    intake = desk.intake()
    await accept(intake, entry())
    await accept(intake, entry())
    assert desk.bell.reports_due == 0
    await finish(desk, sent=True)
    await accept(intake, entry())
    assert desk.bell.reports_due == 1


async def test_an_id_that_ended_in_an_error_may_be_queued_again(desk: Desk) -> None:
    intake = desk.intake()
    await accept(intake, entry())
    await finish(desk, sent=False)
    assert (await accept(intake, entry())).queued == 1


async def test_replace_gives_a_waiting_message_the_new_content(desk: Desk) -> None:
    intake = desk.intake(replace=True)
    await accept(intake, entry(subject="first"))
    assert (await accept(intake, entry(subject="second"))).queued == 1
    (record,) = await desk.store.messages(Filter(DEFAULT_TENANT), limit=9, max_bytes=10**6)
    assert json.loads(record.payload)["subject"] == "second"


# --- the scheduler -------------------------------------------------------------------------------


async def test_only_the_lanes_of_queued_messages_are_woken(desk: Desk) -> None:
    intake = desk.intake()
    await accept(intake, entry("bad", to="nobody"))
    assert desk.bell.woken == []
    await accept(intake, entry("a"), entry("b"))
    assert desk.bell.woken == [{LANE}]
    await accept(intake, entry("a"))
    assert desk.bell.woken == [{LANE}]


async def test_a_large_batch_lets_others_run_in_between(desk: Desk) -> None:
    turns = 0
    turns_before_validation = -1

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def judge(message: Message) -> None:
        nonlocal turns_before_validation
        if turns_before_validation < 0:
            turns_before_validation = turns

    task = asyncio.create_task(other())
    await accept(desk.intake(judge), *(entry(f"m{n}") for n in range(10 * BREATH)))
    task.cancel()
    assert turns_before_validation >= 10
