"""The trace: every call with its plugin, its duration and its end, and without secrets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from guard_bench import Bench, forever, loaded

from asyncmail.errors import Rejected
from asyncmail.plugins.guard import ExtensionFailed, Guard
from asyncmail.plugins.kinds import Kind


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.guard = Guard(
        bench.clock, on_failure=lambda _, cause: None, mask=bench.secrets.mask, trace=True
    )
    return bench


def traced(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "asyncmail.trace"]


async def test_a_call_is_traced_with_its_plugin_duration_and_answer(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def send() -> Sequence[str]:
        bench.clock.advance(0.25)
        return ["as is"]

    await bench.call(loaded(), send)
    words = "transport 'odd' (odd-package 1.2) send(): 250.0 ms, returned ['as is']"
    assert traced(caplog) == [words]


async def test_content_is_never_traced_and_secrets_are_masked(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.secrets.register("hunter2!")

    async def apply() -> bytes:
        return b"hunter2!" * 3

    async def talk() -> str:
        return "it is hunter2!" + 1000 * "x"

    await bench.call(loaded(Kind.FILTER), apply)
    await bench.call(loaded(Kind.FILTER), talk)
    first, second = traced(caplog)
    assert first.endswith("returned 24 bytes")
    assert "it is ***" in second
    assert len(second) < 500


async def test_each_way_to_end_is_traced(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async def reject() -> None:
        raise Rejected("no such shop")

    async def fail() -> None:
        raise ValueError("broken")

    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError("no words")

    async def answer() -> Mute:
        return Mute()

    extension = loaded(Kind.VALIDATOR)
    with pytest.raises(Rejected):
        await bench.call(extension, reject)
    with pytest.raises(ExtensionFailed):
        await bench.call(extension, fail)
    with pytest.raises(ExtensionFailed):
        bench.guard.decide(extension, lambda: 1 // 0)
    assert bench.guard.decide(extension, lambda: 7) == 7
    await bench.call(extension, answer)
    await bench.expire(extension, forever)
    call = asyncio.ensure_future(bench.guard.call(extension, forever, deadline=1.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    endings = [line.partition(" ms, ")[2] for line in traced(caplog)]
    assert endings == [
        "raised Rejected: no such shop",
        "failed: ValueError: broken",
        "failed: ZeroDivisionError: integer division or modulo by zero",
        "returned 7",
        "returned Mute whose repr() fails: RuntimeError: no words",
        "no answer within 1 s",
        "cancelled",
    ]


async def test_without_the_switch_nothing_is_traced(caplog: pytest.LogCaptureFixture) -> None:
    async def send() -> None:
        return None

    await Bench().call(loaded(), send)
    assert traced(caplog) == []
