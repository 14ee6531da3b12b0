"""The filter signs what it has keys for, the same way each time, and keeps nobody waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asyncmail_dkim import DkimFilter, KeySettings
from asyncmail_dkim.keys import load_key
from asyncmail_dkim.signature import sign
from dkim_world import World, signatures

from asyncmail import AsyncmailError, Rejected, Validator
from asyncmail.testing import FaultSMTP, ManualClock, make_extension, samples
from asyncmail.testing.running import StartService, mail

Start = Callable[..., Any]
ELSEWHERE = {"from": "orders@elsewhere.test"}


async def signed(filter_: DkimFilter, **payload: Any) -> bytes:
    message = samples.message(**payload)
    return await filter_.apply(samples.built(message), message, samples.ACCOUNT)


async def test_both_keys_sign_and_the_time_is_that_of_accepting(
    world: World, started: Start
) -> None:
    data = await signed(await started())
    assert world.verdicts(data) == [True, True]
    for tags, selector in zip(signatures(data), ("rsa", "ed"), strict=True):
        assert (tags["d"], tags["s"], tags["t"]) == ("shop.test", selector, f"{samples.NOW:.0f}")
        assert tags["c"] == "relaxed/relaxed"
        assert "l" not in tags


async def test_a_subdomain_is_signed_for_with_the_domain(world: World, started: Start) -> None:
    keys = [{**one, "subdomains": True} for one in world.settings]
    data = await signed(await started(keys=keys), **{"from": "a@news.shop.test"})
    assert [tags["d"] for tags in signatures(data)] == ["shop.test", "shop.test"]
    assert world.verdicts(data) == [True, True]


async def test_signatures_that_are_there_stay_as_they_are(world: World, started: Start) -> None:
    filter_ = await started()
    once = await signed(filter_)
    again = await filter_.apply(once, samples.message(), samples.ACCOUNT)
    assert again.endswith(once)
    assert world.verdicts(again) == [True] * 4
    assert all("dkim-signature" not in tags["h"] for tags in signatures(again))


async def test_fields_that_the_smarthost_rewrites_can_be_left_out(
    world: World, started: Start
) -> None:
    data = await signed(await started(leave_out=["Date", "Message-ID"]))
    changed = data.replace(b"Message-ID: <", b"Message-ID: <x").replace(
        b"\r\nDate: ", b"\r\nDate:X"
    )
    assert changed != data
    assert world.verdicts(changed) == [True, True]


async def test_a_message_without_a_key_passes_or_fails_as_configured(started: Start) -> None:
    plain = samples.built(samples.message(**ELSEWHERE))
    assert await signed(await started(), **ELSEWHERE) == plain
    with pytest.raises(AsyncmailError, match="no DKIM key for From in elsewhere"):
        await signed(await started(unsigned="fail"), **ELSEWHERE)


async def test_the_validator_refuses_only_if_what_is_unsigned_fails(world: World) -> None:
    lenient = make_extension(Validator, "dkim", {"keys": world.settings})
    strict = make_extension(Validator, "dkim", {"keys": world.settings, "unsigned": "fail"})
    for validator in (lenient, strict):
        await validator.validate(samples.message(), samples.ACCOUNT)
    await lenient.validate(samples.message(**ELSEWHERE), samples.ACCOUNT)
    with pytest.raises(Rejected) as rejection:
        await strict.validate(samples.message(**ELSEWHERE), samples.ACCOUNT)
    assert rejection.value.reason == "no DKIM key for From in elsewhere.test"


async def test_the_same_bytes_go_out_on_every_attempt_of_a_real_service(
    tmp_path: Path, world: World
) -> None:
    clock = ManualClock()
    keys = [{**one, "subdomains": True} for one in world.settings]
    plugins = {
        "filters": ("dkim",),
        "validators": ("addresses", "dkim"),
        "dkim": {"keys": keys, "unsigned": "fail"},
    }
    async with FaultSMTP() as smtp:
        start = StartService(tmp_path, clock, smtp.port, plugins=plugins)
        async with start() as service:
            await service.account()
            sender = {"from": "Orders <orders@de.shop.test>"}
            twice = mail("m1", "x+dot.accept.drop.once@fault.example", **sender)
            answer = await service.hand_in(twice, mail("m2", **{"from": "a@elsewhere.test"}))
            assert [one["id"] for one in answer["rejected"]] == ["m2"]
            assert await service.dispatch() == 1
        clock.advance(3600)
        async with start() as service:
            assert await service.dispatch() == 1
            assert await service.status("m1") == "sent"
        first, second = smtp.accepted
        assert first.data == second.data
        assert world.verdicts(first.data) == [True, True]


def test_signing_costs_less_than_a_millisecond(world: World) -> None:
    keys = [load_key(KeySettings(**one)) for one in world.settings]
    data = samples.built(samples.message(text="All work and no play.\n" * 200))

    def cost() -> float:  # of this thread alone, whatever else the machine does
        before = time.thread_time()
        sign(data, keys[:1], 1_750_000_000)
        return time.thread_time() - before

    assert min(cost() for _ in range(30)) < 0.001


async def test_the_loop_goes_on_while_a_large_message_is_signed(started: Start) -> None:
    filter_ = await started()
    message = samples.message()
    data = samples.built(message) + b"a  b\tc \r\n" * 2_000_000
    ticks, call = 0, asyncio.ensure_future(filter_.apply(data, message, samples.ACCOUNT))
    while not call.done():
        await asyncio.sleep(0.001)
        ticks += 1
    assert signatures(await call)
    assert ticks > 5


async def test_a_filter_that_was_stopped_does_not_let_unsigned_mail_pass(started: Start) -> None:
    filter_ = await started()
    await filter_.stop()
    with pytest.raises(AsyncmailError, match="not running"):
        await signed(filter_)
