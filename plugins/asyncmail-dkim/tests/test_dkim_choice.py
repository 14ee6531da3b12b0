"""Which keys sign: the domain of From decides, then the account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asyncmail_dkim import DkimSettings, KeySettings
from asyncmail_dkim.choice import Choice, from_domain
from pydantic import ValidationError


def key(domain: str, selector: str, **more: Any) -> KeySettings:
    return KeySettings(domain=domain, selector=selector, file=Path("key.pem"), **more)


def chosen(keys: list[KeySettings], domain: str | None, account: str = "shop") -> list[str]:
    return [key.selector for key in Choice(keys, lambda key: key)(domain, account)]


@pytest.mark.parametrize(
    ("field", "domain"),
    [
        ("a@Shop.Test", "shop.test"),
        ("Orders <a@shop.test>", "shop.test"),
        ("<a@shop.test>", "shop.test"),
        ('"Orders, all <x@evil.test>" <a@shop.test>', "shop.test"),
        ('"a \\" b" <a@shop.test>', "shop.test"),
        ('"john doe"@shop.test', "shop.test"),
        ('"x@evil.test"@shop.test', "shop.test"),
        ("a@shop.test (x@evil.test)", "shop.test"),
        ("=?utf-8?q?J=C3=B6rg?=\r\n <a@shop.test>", "shop.test"),
        ("Orders\r\n\t<a@shop.test>", "shop.test"),
        ("Jörg <jörg@xn--bcher-kva.example>", "xn--bcher-kva.example"),
        ("A <a@shop.test>, B <b@other.test>", "shop.test"),
        ("a@[192.0.2.1]", None),
        ("nobody", None),
        ("", None),
    ],
)
def test_the_domain_is_the_one_of_the_mailbox_in_from(field: str, domain: str | None) -> None:
    header = f"X-From: x@evil.test\r\nfrOM: {field}\r\nTo: from: <y@evil.test>\r\n".encode()
    assert from_domain(header) == domain


def test_without_exactly_one_from_there_is_no_domain() -> None:
    assert from_domain(b"To: a@shop.test\r\n") is None
    assert from_domain(b"From: a@shop.test\r\nFrom: b@shop.test\r\n") is None
    assert from_domain(b"") is None


def test_a_domain_is_signed_for_by_its_own_keys_all_of_them() -> None:
    keys = [key("shop.test", "rsa"), key("shop.test", "ed"), key("other.test", "x")]
    assert chosen(keys, "shop.test") == ["rsa", "ed"]
    assert chosen(keys, "third.test") == []
    assert chosen(keys, None) == []


def test_subdomains_are_signed_for_only_where_a_key_says_so_and_the_nearest_goes_first() -> None:
    keys = [
        key("test", "top", subdomains=True),
        key("shop.test", "shop", subdomains=True),
        key("shop.test", "exact"),
        key("news.shop.test", "news"),
    ]
    assert chosen(keys, "shop.test") == ["shop", "exact"]
    assert chosen(keys, "de.shop.test") == ["shop"]
    assert chosen(keys, "news.shop.test") == ["news"]
    assert chosen(keys, "de.news.shop.test") == ["shop"]
    assert chosen(keys, "myshop.test") == ["top"]


def test_keys_of_the_account_go_before_keys_for_all() -> None:
    keys = [
        key("shop.test", "all"),
        key("shop.test", "a1", accounts={"a"}),
        key("shop.test", "a2", accounts={"a", "b"}),
        key("other.test", "b", accounts={"b"}),
    ]
    assert chosen(keys, "shop.test", "a") == ["a1", "a2"]
    assert chosen(keys, "shop.test", "b") == ["a2"]
    assert chosen(keys, "shop.test", "c") == ["all"]
    assert chosen(keys, "other.test", "a") == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"keys": []}, "keys"),
        ({"keys": [{"domain": "shöp.test", "selector": "s", "file": "k"}]}, "xn--"),
        ({"keys": [{"domain": "a;b", "selector": "s", "file": "k"}]}, "name in the DNS"),
        ({"keys": [{"domain": "a.test", "selector": "s\r\nx", "file": "k"}]}, "name in the DNS"),
        ({"keys": [{"domain": "a.test", "selector": "s", "file": "k"}] * 2}, "twice"),
        (
            {
                "keys": [{"domain": "a.test", "selector": "s", "file": "k"}],
                "leave_out": ["From"],
            },
            "has to cover From",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        DkimSettings(**settings)
