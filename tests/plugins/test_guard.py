"""The guard: every way in which an extension can misbehave has a defined end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from typing import Any

import pytest
from guard_bench import PATIENCE, Bench, Stubborn, forever, loaded, settle

from asyncmail import AttachmentError, Rejected, SinkUnavailable
from asyncmail.plugins import circuit
from asyncmail.plugins import guard as guard_module
from asyncmail.plugins.guard import ExtensionFailed, ExtensionTimeout, GuardedTask
from asyncmail.plugins.kinds import Kind

# --- answers -------------------------------------------------------------------------------------


async def test_an_answer_comes_through_and_may_be_converted(bench: Bench) -> None:
    async def answer() -> str:
        return "7"

    assert await bench.call(loaded(), answer) == "7"
    assert await bench.call(loaded(), answer, expect=int) == 7


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (Kind.VALIDATOR, Rejected("no")),
        (Kind.ATTACHMENT, AttachmentError("gone", permanent=True)),
        (Kind.SINK, SinkUnavailable("503")),
    ],
)
async def test_a_refusal_is_an_answer_and_never_counts_as_a_failure(
    bench: Bench, kind: Kind, error: Exception
) -> None:
    async def refuse() -> None:
        raise error

    extension = loaded(kind)
    for _ in range(circuit.MAX_FAILURES + 1):
        with pytest.raises(type(error)) as caught:
            await bench.call(extension, refuse)
        assert caught.value is error
    assert bench.failures == []


@pytest.mark.parametrize("nonsense", [None, "text", 7])
async def test_an_answer_of_the_wrong_type_is_a_failure(bench: Bench, nonsense: object) -> None:
    def expect(answer: object) -> list[object]:
        if not isinstance(answer, list):
            raise TypeError(f"answered {type(answer).__name__} instead of a list")
        return answer

    async def answer() -> object:
        return nonsense

    with pytest.raises(
        ExtensionFailed, match=r"transport 'odd' \(odd-package 1.2\) failed: TypeEr"
    ):
        await bench.call(loaded(), answer, expect=expect)
    assert len(bench.failures) == 1


async def test_a_coroutine_as_an_answer_is_a_failure_and_is_closed(bench: Bench) -> None:
    async def inner() -> None: ...

    async def answer() -> object:
        return inner()

    with pytest.raises(ExtensionFailed, match="TypeError"):
        await bench.call(loaded(), answer, expect=dict)


async def test_a_plain_function_in_place_of_a_coroutine_is_a_failure(bench: Bench) -> None:
    def not_async() -> Any:
        return None

    def raises_at_once() -> Any:
        raise OSError("no disk")

    with pytest.raises(ExtensionFailed, match="TypeError"):
        await bench.call(loaded(), not_async)
    with pytest.raises(ExtensionFailed, match="OSError: no disk"):
        await bench.call(loaded(), raises_at_once)


# --- exceptions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"),
        TimeoutError("its own"),
        SystemExit(3),
        KeyboardInterrupt(),
        asyncio.CancelledError("its own"),
        GeneratorExit(),
        RecursionError(),
        BaseExceptionGroup("several", [SystemExit(1), ValueError("x")]),
    ],
    ids=lambda e: type(e).__name__,
)
async def test_whatever_it_raises_is_its_failure_and_the_work_goes_on(
    bench: Bench, error: BaseException
) -> None:
    async def fail() -> None:
        raise error

    async def fine() -> str:
        await asyncio.sleep(0)
        return "fine"

    async def work(task: GuardedTask[str]) -> str:
        with pytest.raises(ExtensionFailed) as caught:
            await task.call(loaded(), fail, deadline=1.0)
        assert caught.value.__cause__ is error
        assert type(error).__name__ in caught.value.cause
        return await task.call(loaded(), fine, deadline=1.0)

    assert await asyncio.wait_for(bench.guard.start(work).future, PATIENCE) == "fine"


@pytest.mark.parametrize("waits", [True, False], ids=["then waits", "then returns"])
async def test_cancelling_its_own_task_harms_only_itself(bench: Bench, waits: bool) -> None:
    async def cancel_myself() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if waits:
            await asyncio.sleep(0)
        return "answered all the same"

    async def work(task: GuardedTask[str]) -> str:
        if waits:
            with pytest.raises(ExtensionFailed, match="CancelledError"):
                await task.call(loaded(), cancel_myself, deadline=1.0)
        else:
            assert await task.call(loaded(), cancel_myself, deadline=1.0)
        current = asyncio.current_task()
        assert current is not None
        assert current.cancelling() == 0
        await asyncio.sleep(0)
        return "went on"

    assert await asyncio.wait_for(bench.guard.start(work).future, PATIENCE) == "went on"


async def test_a_failure_of_the_work_itself_reaches_its_owner(bench: Bench) -> None:
    async def work(task: GuardedTask[None]) -> None:
        raise LookupError("ours")

    with pytest.raises(LookupError, match="ours"):
        await bench.guard.start(work).future
    assert bench.failures == []


async def test_an_exception_without_a_text_is_described_all_the_same(bench: Bench) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    async def fail() -> None:
        raise Mute

    with pytest.raises(ExtensionFailed, match="Mute"):
        await bench.call(loaded(), fail)


# --- deadlines -----------------------------------------------------------------------------------


async def test_a_call_over_its_deadline_is_cancelled_and_its_owner_told(bench: Bench) -> None:
    ended = asyncio.Event()

    async def hang() -> None:
        try:
            await forever()
        finally:
            ended.set()

    await bench.expire(loaded(), hang)
    await asyncio.wait_for(ended.wait(), PATIENCE)
    await settle(lambda: bench.guard.abandoned == 0)
    assert bench.failures == ["no answer within 1 s"]


async def test_a_call_that_swallows_its_cancellation_is_abandoned_and_later_reaped(
    bench: Bench,
) -> None:
    stubborn = Stubborn()
    await bench.expire(loaded(), stubborn)
    await settle(lambda: stubborn.cancellations == 1)
    assert bench.guard.abandoned == 1
    stubborn.released.set()
    await settle(lambda: bench.guard.abandoned == 0)


async def test_work_of_an_abandoned_task_never_goes_on(bench: Bench) -> None:
    stubborn = Stubborn()
    reached: list[str] = []

    async def work(task: GuardedTask[None]) -> None:
        with contextlib.suppress(ExtensionFailed):
            await task.call(loaded(), stubborn, deadline=1.0)
        reached.append("the next step")

    task = bench.guard.start(work)
    await asyncio.sleep(0)
    bench.clock.advance(1.0)
    with pytest.raises(ExtensionTimeout):
        await asyncio.wait_for(task.future, PATIENCE)
    stubborn.released.set()
    await settle(lambda: bench.guard.abandoned == 0)
    assert reached == []


async def test_an_error_after_its_deadline_counts_once(bench: Bench) -> None:
    def late() -> None:
        raise SystemExit(4)

    stubborn = Stubborn(late)
    await bench.expire(loaded(), stubborn)
    stubborn.released.set()
    await settle(lambda: bench.guard.abandoned == 0)
    assert len(bench.failures) == 1


async def test_a_call_just_inside_its_deadline_is_left_alone(bench: Bench) -> None:
    go_on = asyncio.Event()

    async def slow() -> str:
        await go_on.wait()
        return "in time"

    async def work(task: GuardedTask[str]) -> str:
        return await task.call(loaded(), slow, deadline=1.0)

    task = bench.guard.start(work)
    await asyncio.sleep(0)
    bench.clock.advance(0.99)
    with pytest.raises(ExtensionTimeout):
        await bench.call(loaded(), forever, deadline=0)  # so a scan has passed
    go_on.set()
    assert await asyncio.wait_for(task.future, PATIENCE) == "in time"


async def test_progress_starts_the_deadline_anew(bench: Bench) -> None:
    go_on = asyncio.Event()

    async def slow() -> str:
        await go_on.wait()
        return "in time"

    async def work(task: GuardedTask[str]) -> str:
        return await task.call(loaded(), slow, deadline=1.0)

    task = bench.guard.start(work)
    await asyncio.sleep(0)
    bench.clock.advance(0.9)
    task.progress()
    bench.clock.advance(0.9)
    with pytest.raises(ExtensionTimeout):
        await bench.call(loaded(), forever, deadline=0)  # so a scan has passed
    go_on.set()
    assert await asyncio.wait_for(task.future, PATIENCE) == "in time"


async def test_after_a_loop_held_up_answers_at_hand_are_still_taken(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_module, "LATE_SECONDS", -1.0)  # every scan is a late one
    go_on = asyncio.Event()

    async def slow() -> str:
        await go_on.wait()
        return "in time"

    extension = loaded()
    call = asyncio.ensure_future(bench.guard.call(extension, slow, deadline=1.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    bench.clock.advance(2.0)
    bench.guard._scan(asyncio.get_running_loop(), 0.0)
    go_on.set()
    assert await asyncio.wait_for(call, PATIENCE) == "in time"
    await bench.expire(extension, forever)  # but nobody is spared for ever


# --- owners --------------------------------------------------------------------------------------


async def test_a_cancelled_owner_cancels_the_call_which_is_no_failure(bench: Bench) -> None:
    ended = asyncio.Event()
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        try:
            await forever()
        finally:
            ended.set()

    owner = asyncio.ensure_future(bench.guard.call(loaded(), hang, deadline=1.0))
    await asyncio.wait_for(begun.wait(), PATIENCE)
    owner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await owner
    await asyncio.wait_for(ended.wait(), PATIENCE)
    assert bench.failures == []


async def test_cancel_before_the_work_began_sets_the_future(bench: Bench) -> None:
    async def work(task: GuardedTask[None]) -> None:
        raise AssertionError("never reached")

    task = bench.guard.start(work)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task.future, PATIENCE)


async def test_a_cancelled_call_may_still_give_its_answer_but_no_other_begins(bench: Bench) -> None:
    stubborn = Stubborn()

    async def work(task: GuardedTask[str]) -> str:
        answer = await task.call(loaded(), stubborn, deadline=1.0)
        with pytest.raises(asyncio.CancelledError):
            await task.call(loaded(), forever, deadline=1.0)
        return str(answer)

    task = bench.guard.start(work)
    await asyncio.sleep(0)
    task.cancel()
    await settle(lambda: stubborn.cancellations == 1)
    stubborn.released.set()
    assert await asyncio.wait_for(task.future, PATIENCE) == "late answer"


async def test_a_cancelled_call_that_does_not_listen_is_abandoned_after_a_second(
    bench: Bench,
) -> None:
    stubborn = Stubborn()

    async def work(task: GuardedTask[None]) -> None:
        await task.call(loaded(), stubborn, deadline=600.0)

    task = bench.guard.start(work)
    await asyncio.sleep(0)
    task.cancel()
    bench.clock.advance(guard_module.CANCEL_GRACE)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task.future, PATIENCE)
    assert bench.guard.abandoned == 1
    assert bench.failures == []
    stubborn.released.set()
    await settle(lambda: bench.guard.abandoned == 0)


# --- decisions and secrets -----------------------------------------------------------------------


def test_a_plain_decision_that_raises_is_a_failure_too(bench: Bench) -> None:
    def leave() -> Any:
        sys.exit(2)

    assert bench.guard.decide(loaded(Kind.RETENTION), lambda: 5.0, expect=float) == 5.0
    with pytest.raises(ExtensionFailed, match="SystemExit: 2"):
        bench.guard.decide(loaded(Kind.RETENTION), leave)
    assert bench.failures == ["SystemExit: 2"]


async def test_secrets_in_the_words_of_a_plugin_are_masked(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.secrets.register("hunter2!")

    async def leak() -> None:
        raise ValueError("login with hunter2! failed")

    async def refuse() -> None:
        raise Rejected("no hunter2! here")

    with caplog.at_level(logging.WARNING), pytest.raises(ExtensionFailed) as failed:
        await bench.call(loaded(), leak)
    assert "login with *** failed" in str(failed.value)
    with pytest.raises(Rejected) as rejected:
        await bench.call(loaded(Kind.VALIDATOR), refuse)
    assert rejected.value.reason == str(rejected.value) == "no *** here"
    assert "hunter2" not in caplog.text + "".join(bench.failures)
