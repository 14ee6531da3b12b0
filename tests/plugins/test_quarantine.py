"""Quarantine: an extension that fails again and again is left alone, and tried again later."""

from __future__ import annotations

import asyncio

import pytest
from guard_bench import PATIENCE, Bench, Stubborn, forever, loaded, settle

from asyncmail import Extension
from asyncmail.plugins import circuit
from asyncmail.plugins.guard import CANCEL_GRACE, ExtensionFailed, ExtensionQuarantined
from asyncmail.plugins.kinds import Kind, Loaded


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
