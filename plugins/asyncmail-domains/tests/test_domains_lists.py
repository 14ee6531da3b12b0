"""Lists: which domains and recipients may be written to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asyncmail_domains import DomainsSettings
from asyncmail_domains.patterns import Domains
from pydantic import ValidationError

from asyncmail import Rejected
from asyncmail.testing import samples

Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("pattern", "domain", "matches"),
    [
        ("example.org", "example.org", True),
        ("example.org", "www.example.org", False),
        ("example.org", "badexample.org", False),
        ("*.example.org", "www.example.org", True),
        ("*.example.org", "a.b.example.org", True),
        ("*.example.org", "example.org", False),
        ("*.example.org", "badexample.org", False),
        ("*.org", "example.org", True),
        ("EXAMPLE.org", "example.org", True),
        ("bücher.example", "xn--bcher-kva.example", True),
        ("*.bücher.example", "a.xn--bcher-kva.example", True),
    ],
)
def test_a_pattern_is_one_domain_or_all_below_it(pattern: str, domain: str, matches: bool) -> None:
    [normal] = DomainsSettings(deny=[pattern]).deny
    assert (domain in Domains([normal])) is matches


@pytest.mark.parametrize("pattern", ["", "*", "a@example.org", "*example.org", "a..b", "*.*.org"])
def test_what_is_no_domain_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match="domain"):
        DomainsSettings(allow=[pattern])


@pytest.mark.parametrize("text", ["bob", "@example.org", "bob@", "bob@*"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        DomainsSettings(recipients=[text])


async def verdict(validator: Any, *to: str, **more: Any) -> str:
    """What a validator says of a message; empty: accepted without a word."""
    message = samples.message("m1", *to, **more)
    try:
        return "; ".join(await validator.validate(message, samples.ACCOUNT) or ())
    except Rejected as rejection:
        return f"rejected: {rejection.reason}"


async def test_without_lists_everybody_may_be_written_to(validator: Make) -> None:
    assert await verdict(await validator(lookup=False), "a@x.example", "b@y.example") == ""


async def test_denied_domains_are_refused_and_named(validator: Make) -> None:
    made = await validator(lookup=False, deny=["*.spam.example"], allow=["*.example"])
    assert await verdict(made, "a@ham.example") == ""
    said = await verdict(made, "a@ham.example", "b@mx.spam.example")
    assert said.startswith("rejected: invalid address: 'b@mx.spam.example': ")
    assert "mx.spam.example is not allowed" in said


async def test_in_staging_only_listed_recipients_and_domains_are_let_through(
    validator: Make,
) -> None:
    made = await validator(
        lookup=False, allow=["ours.example"], recipients=["Tester@partner.example"]
    )
    assert await verdict(made, "anybody@ours.example", "TESTER@partner.example") == ""
    assert "allowed here" in await verdict(made, "other@partner.example")
    assert "allowed here" in await verdict(made, "customer@customer.example")


@pytest.mark.parametrize("field", ["cc", "bcc"])
async def test_copies_count_like_everybody_else(validator: Make, field: str) -> None:
    made = await validator(lookup=False, deny=["bad.example"])
    said = await verdict(made, "a@good.example", **{field: ["b@bad.example"]})
    assert "'b@bad.example'" in said
