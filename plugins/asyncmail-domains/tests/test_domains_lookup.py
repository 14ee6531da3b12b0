"""What DNS says, what is remembered of it, and that nobody waits for it for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from asyncmail_domains import lookups, mx
from asyncmail_domains.patience import Patience
from dns_server import NEGATIVE_TTL, TTL, DnsServer
from test_domains_lists import verdict

from asyncmail.testing import ManualClock

Make = Callable[..., Any]


@pytest.mark.parametrize("domain", ["mx.example", "a.example", "aaaa.example"])
async def test_a_domain_with_a_mail_server_or_an_address_gets_mail(
    validator: Make, domain: str
) -> None:
    assert await verdict(await validator(), f"bob@{domain}") == ""


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        ("gone.example", "gone.example does not exist"),
        ("null.example", "null.example takes no mail (null MX)"),
        ("empty.example", "empty.example has neither a mail server nor an address"),
    ],
)
async def test_a_domain_that_cannot_get_mail_is_refused(
    validator: Make, domain: str, words: str
) -> None:
    said = await verdict(await validator(), "ok@mx.example", f"bob@{domain}")
    assert said == f"rejected: invalid address: 'bob@{domain}': {words}"


async def test_a_name_server_that_fails_costs_nobody_a_message(
    validator: Make, dns: DnsServer
) -> None:
    dns.failing.add("mx.example")
    said = await verdict(await validator(), "bob@mx.example")
    assert said.startswith("mx.example could not be checked: ")
    assert "SERVFAIL" in said


async def test_a_silent_name_server_is_waited_for_until_the_deadline_only(
    validator: Make, dns: DnsServer
) -> None:
    dns.silent.add("mx.example")
    made = await validator(deadline_seconds=0.2)
    async with asyncio.timeout(0.8):
        said = await verdict(made, "bob@mx.example", "eve@a.example")
    assert said == "mx.example could not be checked: no answer in time"


async def test_no_name_server_at_all_is_a_warning_too(validator: Make) -> None:
    made = await validator(nameserver_port=1, deadline_seconds=0.5)
    assert "could not be checked" in await verdict(made, "bob@mx.example")


async def test_an_answer_too_long_for_udp_is_fetched_by_tcp(
    validator: Make, dns: DnsServer
) -> None:
    dns.truncated.add("mx.example")
    assert await verdict(await validator(), "bob@mx.example") == ""
    assert [protocol for _, _, protocol in dns.queries] == ["udp", "tcp"]


async def test_an_address_literal_needs_no_dns(validator: Make, dns: DnsServer) -> None:
    assert await verdict(await validator(), "bob@[192.0.2.7]") == ""
    assert dns.queries == []


async def test_many_domains_of_a_message_are_asked_for_side_by_side(
    validator: Make, dns: DnsServer
) -> None:
    dns.catch_all = True
    to = [f"bob@d{number}.example" for number in range(90)]
    assert await verdict(await validator(), *to) == ""
    assert len(dns.queries) == 90


# --- memory --------------------------------------------------------------------------------------


async def test_an_answer_is_remembered_as_long_as_it_says(
    validator: Make, dns: DnsServer, clock: ManualClock
) -> None:
    made = await validator()
    for seconds in (0, TTL - 1, 2):
        clock.advance(seconds)
        await verdict(made, "bob@mx.example")
    assert dns.asked("mx.example") == ["MX", "MX"], "the second time once the TTL was over"


async def test_no_answer_is_remembered_longer_than_configured(
    validator: Make, dns: DnsServer, clock: ManualClock
) -> None:
    made = await validator(max_ttl_seconds=10)
    await verdict(made, "bob@mx.example")
    clock.advance(10)
    await verdict(made, "bob@mx.example")
    assert len(dns.asked("mx.example")) == 2


async def test_a_domain_that_did_not_exist_is_looked_for_again_after_its_negative_ttl(
    validator: Make, dns: DnsServer, clock: ManualClock
) -> None:
    made = await validator()
    assert "does not exist" in await verdict(made, "bob@new.example")
    dns.zone["new.example"] = {"MX": ["10 mail.new.example."]}
    clock.advance(NEGATIVE_TTL - 1)
    assert "does not exist" in await verdict(made, "bob@new.example")
    clock.advance(1)
    assert await verdict(made, "bob@new.example") == ""


async def test_an_answer_that_may_not_be_remembered_is_still_an_answer(
    validator: Make, dns: DnsServer
) -> None:
    dns.ttl = 0
    made = await validator()
    assert [await verdict(made, "bob@mx.example") for _ in range(2)] == ["", ""]
    assert len(dns.asked("mx.example")) == 2


async def test_memory_is_bounded_and_keeps_what_is_used(validator: Make, dns: DnsServer) -> None:
    dns.catch_all = True
    made = await validator(cache_size=2)
    for domain in ("a1.example", "b1.example", "a1.example", "c1.example", "a1.example"):
        await verdict(made, f"bob@{domain}")
    assert (len(dns.asked("a1.example")), len(dns.asked("b1.example"))) == (1, 1)
    await verdict(made, "bob@b1.example")
    assert len(dns.asked("b1.example")) == 2, "it had to give way"


# --- time ----------------------------------------------------------------------------------------


async def test_an_answer_that_comes_late_is_there_for_the_next_message(
    validator: Make, dns: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mx, "QUERY_SECONDS", 0.2)
    dns.silent.add("mx.example")
    made = await validator(deadline_seconds=0.05)
    assert "no answer in time" in await verdict(made, "bob@mx.example")
    dns.silent.clear()  # the next try of the same lookup is answered
    [under_way] = made._lookups._running.values()
    await asyncio.wait_for(under_way, 3)
    assert await verdict(made, "bob@mx.example") == ""


async def test_one_domain_is_looked_up_once_however_many_wait_for_it(
    validator: Make, dns: DnsServer
) -> None:
    made = await validator()
    said = await asyncio.gather(*(verdict(made, f"bob{n}@mx.example") for n in range(20)))
    assert set(said) == {""}
    assert dns.asked("mx.example") == ["MX"]


async def test_a_request_full_of_silent_domains_is_over_in_time(
    validator: Make, dns: DnsServer
) -> None:
    names = [f"dead{number}.example" for number in range(300)]
    dns.silent.update(names)
    made = await validator()
    async with asyncio.timeout(4):  # the service gives up a request after 5 s
        said = [await verdict(made, f"bob@{name}") for name in names]
    assert all("could not be checked" in words for words in said)


async def test_no_more_lookups_are_under_way_than_allowed(validator: Make, dns: DnsServer) -> None:
    names = [f"dead{number}.example" for number in range(lookups.MAX_LOOKUPS + 50)]
    dns.silent.update(names)
    made = await validator(deadline_seconds=0.1)
    await verdict(made, *(f"bob@{name}" for name in names))
    assert len(made._lookups._running) == lookups.MAX_LOOKUPS


async def test_a_message_that_is_given_up_takes_no_lookup_from_the_others(
    validator: Make, dns: DnsServer
) -> None:
    dns.silent.add("mx.example")
    made = await validator(deadline_seconds=0.8)
    first = asyncio.create_task(verdict(made, "a@mx.example"))
    second = asyncio.create_task(verdict(made, "b@mx.example"))
    await dns.heard.wait()
    first.cancel()
    assert "no answer in time" in await second
    assert len(made._lookups._running) == 1


async def test_stopping_ends_what_is_under_way(validator: Make, dns: DnsServer) -> None:
    dns.silent.add("mx.example")
    made = await validator(deadline_seconds=0.05)
    await verdict(made, "bob@mx.example")
    [under_way] = made._lookups._running.values()
    await made.stop()
    assert under_way.cancelled()


def test_patience_comes_back_slowly() -> None:
    now = [0.0]
    patience = Patience(lambda: now[0])
    patience.spend(1.5)
    assert patience.left == 0
    now[0] += 2
    assert patience.left == pytest.approx(0.6)
    now[0] += 100
    assert patience.left == 1.5
