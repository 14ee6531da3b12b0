"""Quarantine: an extension that fails again and again is left alone, and tried again later."""

from __future__ import annotations

import asyncio

import pytest
from guard_bench import PATIENCE, Bench, Stubborn, forever, loaded, settle

from asyncmail import Extension
from asyncmail.plugins import circuit
from asyncmail.plugins.guard import (
    CANCEL_GRACE,
    FILTER_DEADLINE,
    SCAN_SECONDS,
    STALL_SECONDS,
    ExtensionFailed,
    ExtensionQuarantined,
    ExtensionTimeout,
)
from asyncmail.plugins.kinds import Kind, Loaded

STEP = 0.5  # seconds on the manual clock


async def fail() -> None:
    raise ValueError("broken")


async def fine() -> str:
    return "fine"


async def open_circuit(bench: Bench, extension: Loaded[Extension]) -> None:
    for _ in range(circuit.MAX_FAILURES):
        with pytest.raises(ExtensionFailed):
            await bench.call(extension, fail)


async def test_five_failures_in_a_row_quarantine_an_extension(bench: Bench) -> None:
    extension = loaded()
    for _ in range(circuit.MAX_FAILURES - 1):
        with pytest.raises(ExtensionFailed):
            await bench.call(extension, fail)
    await bench.call(extension, fine)  # breaks the row
    await open_circuit(bench, extension)
    with pytest.raises(ExtensionQuarantined, match="broken") as caught:
        await bench.call(extension, fine)
    assert 0 < caught.value.retry_after <= circuit.PROBE_AFTER
    assert bench.guard.is_quarantined(extension)
    assert bench.states == [False]
    assert await bench.call(loaded(name="other"), fine) == "fine"


async def test_after_half_a_minute_one_probe_goes_through_and_its_success_ends_the_quarantine(
    bench: Bench,
) -> None:
    extension = loaded()
    await open_circuit(bench, extension)
    bench.clock.advance(circuit.PROBE_AFTER)
    go_on = asyncio.Event()

    async def slow() -> str:
        await go_on.wait()
        return "well again"

    probe = asyncio.ensure_future(bench.guard.call(extension, slow, deadline=1.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(ExtensionQuarantined):
        await bench.call(extension, fine)
    go_on.set()
    assert await probe == "well again"
    assert await bench.call(extension, fine) == "fine"
    assert bench.states == [False, True]


async def test_a_failed_probe_keeps_the_quarantine(bench: Bench) -> None:
    extension = loaded()
    await open_circuit(bench, extension)
    bench.clock.advance(circuit.PROBE_AFTER)
    with pytest.raises(ExtensionFailed):
        await bench.call(extension, fail)
    with pytest.raises(ExtensionQuarantined):
        await bench.call(extension, fine)
    assert bench.states == [False]


async def test_a_probe_taken_back_by_its_owner_lets_another_try(bench: Bench) -> None:
    extension = loaded()
    await open_circuit(bench, extension)
    bench.clock.advance(circuit.PROBE_AFTER)
    probe = asyncio.ensure_future(bench.guard.call(extension, forever, deadline=1.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await bench.call(extension, fine) == "fine"


async def test_a_probe_taken_back_that_does_not_listen_lets_another_try(bench: Bench) -> None:
    extension = loaded()
    await open_circuit(bench, extension)
    bench.clock.advance(circuit.PROBE_AFTER)
    stubborn = Stubborn()
    probe = asyncio.ensure_future(bench.guard.call(extension, stubborn, deadline=600.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    probe.cancel()
    await settle(lambda: stubborn.cancellations == 1)
    bench.clock.advance(CANCEL_GRACE)
    await settle(lambda: bench.guard.abandoned == 1)
    assert await bench.call(extension, fine) == "fine"
    stubborn.released.set()
    await settle(lambda: bench.guard.abandoned == 0)
    with pytest.raises(asyncio.CancelledError):
        await probe


async def test_a_validator_that_raises_is_never_quarantined_but_one_that_hangs_is(
    bench: Bench,
) -> None:
    extension = loaded(Kind.VALIDATOR)
    for _ in range(circuit.MAX_FAILURES + 1):
        with pytest.raises(ExtensionFailed):
            await bench.call(extension, fail)
    for _ in range(circuit.MAX_FAILURES):
        await bench.expire(extension, forever)
    with pytest.raises(ExtensionQuarantined):
        await bench.call(extension, fine)


async def test_a_sink_is_never_quarantined(bench: Bench) -> None:
    extension = loaded(Kind.SINK)
    for _ in range(2 * circuit.MAX_FAILURES):
        with pytest.raises(ExtensionFailed):
            await bench.call(extension, fail)
    assert await bench.call(extension, fine) == "fine"


async def test_abandoned_calls_are_bounded_even_for_a_sink(bench: Bench) -> None:
    extension = loaded(Kind.SINK)
    hung = [Stubborn() for _ in range(circuit.MAX_ABANDONED)]
    for stubborn in hung:
        await bench.expire(extension, stubborn)
    with pytest.raises(ExtensionQuarantined):
        await bench.call(extension, fine)
    assert bench.guard.abandoned == circuit.MAX_ABANDONED
    for stubborn in hung:
        stubborn.released.set()
    await settle(lambda: bench.guard.abandoned == 0)
    assert await bench.call(extension, fine) == "fine"


async def test_an_unrecorded_call_reaches_an_extension_in_quarantine(bench: Bench) -> None:
    extension = loaded()
    await open_circuit(bench, extension)
    call = bench.guard.call(extension, fine, deadline=1.0, recorded=False)
    assert await asyncio.wait_for(call, PATIENCE) == "fine"
    assert bench.guard.is_quarantined(extension)


async def test_too_many_abandoned_calls_show_as_a_quarantine(bench: Bench) -> None:
    extension = loaded(Kind.SINK)
    hung = [Stubborn() for _ in range(circuit.MAX_ABANDONED)]
    for stubborn in hung:
        assert not bench.guard.is_quarantined(extension)
        await bench.expire(extension, stubborn)
    assert bench.guard.is_quarantined(extension)
    for stubborn in hung:
        stubborn.released.set()
    await settle(lambda: not bench.guard.is_quarantined(extension))


# --- plain decisions -----------------------------------------------------------------------------


def test_decisions_that_fail_are_quarantined_and_probed(bench: Bench) -> None:
    extension = loaded(Kind.RETENTION)
    for _ in range(circuit.MAX_FAILURES):
        with pytest.raises(ExtensionFailed):
            bench.guard.decide(extension, lambda: 1 // 0)
    with pytest.raises(ExtensionQuarantined):
        bench.guard.decide(extension, lambda: 7)
    assert bench.guard.is_quarantined(extension)
    bench.clock.advance(circuit.PROBE_AFTER)
    assert bench.guard.decide(extension, lambda: 7) == 7
    assert not bench.guard.is_quarantined(extension)
    assert bench.states == [False, True]


async def test_decisions_that_work_do_not_hide_calls_that_fail(bench: Bench) -> None:
    extension = loaded(Kind.ATTACHMENT)
    for _ in range(circuit.MAX_FAILURES):
        assert bench.guard.decide(extension, lambda: True)
        with pytest.raises(ExtensionFailed):
            await bench.call(extension, fail)
    assert bench.guard.decide(extension, lambda: True)
    with pytest.raises(ExtensionQuarantined):
        await bench.call(extension, fine)


# --- filters that hang ---------------------------------------------------------------------------


async def pass_time(bench: Bench, seconds: float) -> None:
    """In steps that the guard's scan sees."""
    for _ in range(round(seconds / STEP)):
        bench.clock.advance(STEP)
        await asyncio.sleep(1.5 * SCAN_SECONDS)


async def test_a_filter_that_hangs_is_quarantined_long_before_its_deadline(bench: Bench) -> None:
    extension = loaded(Kind.FILTER)
    calls = [
        asyncio.ensure_future(bench.guard.call(extension, forever, deadline=FILTER_DEADLINE))
        for _ in range(circuit.MAX_FAILURES)
    ]
    await pass_time(bench, STALL_SECONDS - STEP)
    assert not bench.guard.is_quarantined(extension)
    await pass_time(bench, 2 * STEP)
    assert bench.guard.is_quarantined(extension)
    with pytest.raises(ExtensionQuarantined, match="5 calls without an answer for 4 s"):
        await bench.call(extension, fine)
    assert not any(call.done() for call in calls), "those under way keep their whole deadline"
    bench.clock.advance(FILTER_DEADLINE)
    endings = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(ending) for ending in endings} == {ExtensionTimeout}
    bench.clock.advance(circuit.PROBE_AFTER)
    assert await bench.call(extension, fine) == "fine"
    assert bench.states == [False, True]


async def test_a_filter_that_is_slow_but_answers_is_not_quarantined(bench: Bench) -> None:
    extension = loaded(Kind.FILTER)
    slow = [
        asyncio.ensure_future(bench.guard.call(extension, forever, deadline=FILTER_DEADLINE))
        for _ in range(2 * circuit.MAX_FAILURES)
    ]
    for _ in range(4):
        await pass_time(bench, STALL_SECONDS / 2)
        assert await bench.call(extension, fine) == "fine"
    assert not bench.guard.is_quarantined(extension)
    for call in slow:
        call.cancel()
    await asyncio.wait(slow)


async def test_other_kinds_may_be_slow_together(bench: Bench) -> None:
    extension = loaded(Kind.ATTACHMENT)
    slow = [
        asyncio.ensure_future(bench.guard.call(extension, forever, deadline=60.0))
        for _ in range(2 * circuit.MAX_FAILURES)
    ]
    await pass_time(bench, 2 * STALL_SECONDS)
    assert not bench.guard.is_quarantined(extension)
    for call in slow:
        call.cancel()
    await asyncio.wait(slow)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.SINK])
async def test_every_kind_but_sinks_is_quarantined_by_lateness_and_probed(
    bench: Bench, kind: Kind
) -> None:
    extension = loaded(kind)
    for _ in range(circuit.MAX_FAILURES):
        await bench.expire(extension, forever)
    assert bench.guard.is_quarantined(extension)
    assert len(bench.failures) == circuit.MAX_FAILURES
    bench.clock.advance(circuit.PROBE_AFTER)
    assert await bench.call(extension, fine) == "fine"
    assert not bench.guard.is_quarantined(extension)
