"""The watchdog: whoever blocks the event loop is named while it does, and counted afterwards."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator

import pytest
from guard_bench import Bench, Stubborn, loaded, settle
from plugin_site import Site

from asyncmail.plugins.guard import CANCEL_GRACE
from asyncmail.plugins.kinds import Kind
from asyncmail.plugins.watchdog import BEAT_SECONDS, BLOCKED_SECONDS, Watchdog, belongs_to
from asyncmail.testing.clock import ManualClock

PATIENCE = 5.0  # real seconds
LATE = 0.3  # seconds that a busy machine may add

BLOCKING = """
import asyncio
import contextlib
import time

class Sleepy(Validator):
    async def validate(self, message, account):
        with contextlib.ExitStack() as stack:
            stack.callback(time.sleep, 0.8)  # somebody else's code is on top

class Spawning(Validator):
    async def validate(self, message, account):
        asyncio.get_running_loop().call_soon(self.later)
    def later(self):
        time.sleep(0.8)

@hookimpl
def asyncmail_validators():
    return [
        Offer("innocent", lambda s, c: Nod()), Offer("sleepy", lambda s, c: Sleepy()),
        Offer("spawning", lambda s, c: Spawning()),
    ]
"""


class Ear(logging.Handler):
    """Remembers when the watchdog said what."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[float, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append((time.monotonic(), record.getMessage()))


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear = Ear()
    log = logging.getLogger("asyncmail.watchdog")
    log.addHandler(ear)
    yield ear
    log.removeHandler(ear)


def block(seconds: float = 0.8) -> None:
    time.sleep(seconds)


async def counted(bench: Bench) -> str:
    """The failure that is counted once the loop goes on."""
    async with asyncio.timeout(PATIENCE):
        while not bench.failures:  # noqa: ASYNC110 - told by a callback of the watchdog's thread
            await asyncio.sleep(0.01)
    (failure,) = bench.failures
    return failure


async def test_the_plugin_that_blocks_the_loop_is_named_while_it_does_and_counted(
    bench: Bench, ear: Ear
) -> None:
    extension = loaded(Kind.FILTER, name="sleepy")
    begun = time.monotonic()

    async def apply() -> str:
        nonlocal begun
        begun = time.monotonic()
        block()
        return "done"

    with Watchdog(bench.guard, [extension]):
        assert await bench.call(extension, apply) == "done"
        ended = time.monotonic()
        assert (await counted(bench)).startswith("it blocked the event loop for 0.")
    when, words = ear.heard[0]
    assert "blocked for more than 0.5 s by filter 'sleepy' (odd-package 1.2)" in words
    assert "in block" in words, "the stack says where"
    assert when < ended, "it is told while it lasts"
    assert when - begun < BLOCKED_SECONDS + BEAT_SECONDS + LATE
    assert "goes on after" in ear.heard[1][1]


async def test_a_plain_decision_that_blocks_is_named(bench: Bench, ear: Ear) -> None:
    extension = loaded(Kind.RETENTION, name="slow")
    with Watchdog(bench.guard, [extension]):
        bench.guard.decide(extension, block)
        await counted(bench)
    assert "by retention 'slow'" in ear.heard[0][1]


async def test_the_one_that_runs_is_named_not_those_that_wait(bench: Bench, ear: Ear) -> None:
    waiting = loaded(Kind.TRANSPORT, name="waiting")
    extension = loaded(Kind.FILTER, name="sleepy")
    release = asyncio.Event()
    calls = [
        asyncio.ensure_future(bench.guard.call(waiting, release.wait, deadline=60.0))
        for _ in range(5)
    ]
    await asyncio.sleep(0)

    async def apply() -> None:
        block()

    with Watchdog(bench.guard, [waiting, extension]):
        await bench.call(extension, apply)
        await counted(bench)
    release.set()
    await asyncio.gather(*calls)
    assert "by filter 'sleepy'" in ear.heard[0][1]


async def test_a_call_that_was_given_up_is_still_named(bench: Bench, ear: Ear) -> None:
    extension = loaded(Kind.FILTER, name="undead")
    stubborn = Stubborn(then=block)
    call = asyncio.ensure_future(bench.guard.call(extension, stubborn, deadline=600.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await settle(lambda: stubborn.cancellations == 1)
    bench.clock.advance(CANCEL_GRACE)
    await settle(lambda: bench.guard.abandoned == 1)
    with Watchdog(bench.guard, []):
        stubborn.released.set()
        await counted(bench)
    assert "by filter 'undead'" in ear.heard[0][1]


@pytest.mark.parametrize("name", ["sleepy", "spawning"])
async def test_code_of_a_package_outside_of_any_call_is_found_on_the_stack(
    site: Site, bench: Bench, ear: Ear, name: str
) -> None:
    site.install("sleepers", BLOCKING)
    chosen = {Kind.VALIDATOR: (name,)}
    extensions = site.manager().build(chosen, {}, ManualClock())
    (validator,) = extensions.validators
    with Watchdog(bench.guard, extensions):
        # Not by the guard: as a task that an extension started by itself would.
        await validator.extension.validate(None, None)  # type: ignore[arg-type]
        await counted(bench)
    assert f"by validator '{name}' (sleepers 1.2)" in ear.heard[0][1]


async def test_blocking_outside_of_extensions_blames_none(bench: Bench, ear: Ear) -> None:
    with Watchdog(bench.guard, [loaded()]):
        await asyncio.sleep(0)
        block()
        await asyncio.sleep(2 * BEAT_SECONDS)
    assert "no call of an extension" in ear.heard[0][1]
    assert bench.failures == []


async def test_a_block_is_told_once_however_long_it_lasts(bench: Bench, ear: Ear) -> None:
    with Watchdog(bench.guard, []):
        await asyncio.sleep(0)
        block(1.5)
        await asyncio.sleep(2 * BEAT_SECONDS)
    assert len(ear.heard) == 2
    assert "is blocked" in ear.heard[0][1]
    assert "goes on after" in ear.heard[1][1]


async def test_lag_tells_the_longest_wait(bench: Bench) -> None:
    with Watchdog(bench.guard, []) as watchdog:
        await asyncio.sleep(3 * BEAT_SECONDS)
        calm = watchdog.lag
        block(0.4)
        await asyncio.sleep(2 * BEAT_SECONDS)
        assert watchdog.lag > 0.25
        assert watchdog.lag > calm


async def test_the_thread_ends_with_the_block_even_while_it_waits(bench: Bench) -> None:
    with Watchdog(bench.guard, []):
        await asyncio.sleep(0)
        block(0.7)  # the watchdog has complained and waits for the loop
    assert "watchdog" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize(
    ("module", "home", "belongs"),
    [
        ("asyncmail.builtin.smtp", "asyncmail.builtin.smtp", True),
        ("asyncmail.builtin.genropy", "asyncmail.builtin.smtp", False),
        ("asyncmail.scheduler.loop", "asyncmail.builtin.smtp", False),
        ("a_package.inner", "a_package.plugin", True),
        ("a_package_more", "a_package.plugin", False),
    ],
)
def test_code_belongs_to_the_extensions_of_its_package_in_the_core_of_its_module(
    module: str, home: str, belongs: bool
) -> None:
    assert belongs_to(module, home) is belongs
