"""Addresses: what is read, exactly how, and what is refused."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncmail.addresses import parse_address, parse_addresses
from asyncmail.errors import Rejected
from asyncmail.model import Address


@pytest.mark.parametrize(
    ("text", "display", "spec"),
    [
        ("ann@example.org", "", "ann@example.org"),
        ("Ann.Lee+tag@EXAMPLE.Org", "", "Ann.Lee+tag@example.org"),
        (" ann@example.org ", "", "ann@example.org"),
        ("<ann@example.org>", "", "ann@example.org"),
        ("Ann Lee <ann@example.org>", "Ann Lee", "ann@example.org"),
        ("Ann Q. Lee <ann@example.org>", "Ann Q. Lee", "ann@example.org"),
        ("Jörg <jo@example.org>", "Jörg", "jo@example.org"),
        ('"Lee, Ann" <ann@example.org>', "Lee, Ann", "ann@example.org"),
        (r'"Ann \"A\" \\ Lee" <ann@example.org>', r'Ann "A" \ Lee', "ann@example.org"),
        ('"ann@old.org" <ann@example.org>', "ann@old.org", "ann@example.org"),
        ("=?utf-8?q?J=C3=B6rg?= <jo@example.org>", "Jörg", "jo@example.org"),
        ("INFO@Example.org", "", "INFO@example.org"),
        ("a%b@c", "", "a%b@c"),
        ("a!b@c", "", "a!b@c"),
        ("root@localhost", "", "root@localhost"),
        ("a@[127.0.0.1]", "", "a@[127.0.0.1]"),
        ("a@[IPv6:::1]", "", "a@[IPv6:::1]"),
        ("a@exämple.com", "", "a@xn--exmple-cua.com"),
        ("a@EXA\u0308MPLE.com", "", "a@xn--exmple-cua.com"),
        ("a@XN--exmple-cua.com", "", "a@xn--exmple-cua.com"),
        ("ü@exämple.com", "", "ü@xn--exmple-cua.com"),
        ("ü@localhost", "", "ü@localhost"),
        ("ü@fault.test", "", "ü@fault.test"),
        ('"a b"@example.org', "", '"a b"@example.org'),
        ('"a@x"@example.org', "", '"a@x"@example.org'),
        ('"ab"@example.org', "", '"ab"@example.org'),
        ('Ann <"a b"@example.org>', "Ann", '"a b"@example.org'),
    ],
)
def test_a_mailbox_is_read_and_only_its_domain_altered(text: str, display: str, spec: str) -> None:
    assert parse_address(text) == Address(display, spec)


REFUSED = [
    *[
        "",
        " ",
        "a",
        "@",
        "a@",
        "@b",
        "<",
        ">",
        '"',
        "<>",
        "a@b@c",
        "a b@c",
        ".a@b",
        "a.@b",
        "a..b@c",
    ],
    *["a@b..c", "a@.b", "a@b.", "a@-b", "a@b-", "a@b_c", "a@b c", "a@[b", "a@[300.1.1.1]"],
    *["a@b> SIZE=1", "a@b> NOTIFY=NEVER", "<a@b> SIZE=1", "a@b>", "<a@b", "<<a@b>>", "a@b <c"],
    *["ok@allowed <evil@x>", "alice@example.org)bob@x", "@a:b@c", "<@a:b@c>", "a@b.c;x", "a@b;c@d"],
    *["G: a@b, c@d;", "G: a@b;", "undisclosed-recipients:;", "Team: Ann <a@b>"],
    *["a@b (comment)", "(comment) a@b", "Ann (sales) <a@b>", "a(c)@b", "(" * 1000 + "a@b"],
    *["Lee, Ann <a@b>", "a@b, c@d", "a@b,c@d", "a@b <c@d>, <e@f>", '"a" "b" <c@d>', '"a" b <c@d>'],
    *['"<evil@x>"@b.c', '"a> SIZE=1"@b', '"Name" <"<x>"@b.c>', '"a@b', 'a"@b', '"a"b@c', '"a\\"@c'],
    *["u\u0308@example.org", "a\u200b@example.org", "\u202ea@example.org", "a@exa\u200bmple.org"],
    *["\u202eAnn <a@b>", "a@b\uff0c", "a\uff20b", "a@\ud800", "\udfff@b", "Ann\ud800 <a@b>"],
    *["a" * 65 + "@b", "ü" * 33 + "@b.org", "a@" + "b" * 64, "a@" + ".".join(["b" * 50] * 5)],
    *["=?utf-8?q?=0A?= <a@b>", "=?UTF-8?Q?=0D=0A?=Bcc: evil@x", "=?x?q?=0aBcc:_e?= <a@b>"],
    *["=?utf-8?q?a?=@b", "=?utf-8?q?=3C?=a@b", "Ann <=?x?b?YQ==?=@b>", '"=?x?q?=40?="@b'],
    *["n" * 256 + " <a@b>", "n" * 2000 + " <a@b>"],
    *[f"a{c}@b" for c in "\r\n\0\t\x0b\x0c\x85\u2028\u2029\x7f\x9f"],
    *[f"a@b{c}" for c in "\r\n\0\t\x0b\x0c\x85\u2028\u2029\x7f\x9f"],
    *[f"Ann{c} <a@b>" for c in "\r\n\0\t\x0b\x0c\x85\u2028\u2029\x7f\x9f"],
]


@pytest.mark.parametrize("text", REFUSED, ids=ascii)
def test_what_readers_could_understand_differently_is_refused(text: str) -> None:
    with pytest.raises(Rejected, match=r"^invalid address: ") as refusal:
        parse_address(text)
    assert refusal.value.reason.isprintable()
    assert len(refusal.value.reason) < 500


def test_limits_are_counted_in_octets_and_exact() -> None:
    domain = ".".join(["b" * 63] * 3)[:189]
    assert parse_address("a" * 64 + "@" + domain)
    assert parse_address("ü" * 32 + "@" + domain)
    with pytest.raises(Rejected):
        parse_address("a" * 64 + "@" + domain + "b")
    with pytest.raises(Rejected):
        parse_address("ü" * 32 + "@" + domain + "b")


def test_one_text_may_hold_several_addresses_between_commas() -> None:
    assert [a.spec for a in parse_addresses("a@b.c, x@y.z")] == ["a@b.c", "x@y.z"]
    assert parse_addresses('"Lee, Ann" <a@b>,Bob <c@d>') == (
        Address("Lee, Ann", "a@b"),
        Address("Bob", "c@d"),
    )
    assert parse_addresses(["a@b", '"Lee, Ann" <a@b>'])[1] == Address("Lee, Ann", "a@b")


@pytest.mark.parametrize("nothing", ["", "  ", [], ()])
def test_nothing_is_no_address(nothing: str | list[str]) -> None:
    assert parse_addresses(nothing) == ()


@pytest.mark.parametrize(
    "value",
    [
        *[
            ",",
            "a@b,",
            ",a@b",
            "a@b,,c@d",
            "a@b, ,c@d",
            "Lee, Ann <a@b>",
            '"a@b, c@d',
            "a@b, G: c@d;",
        ],
        *["a@b, c", "a@b\n, c@d", ["a@b", ""], ["a@b, c@d"], [["a@b"]], [None], [1], [{"a": 1}]],
    ],
)
def test_a_list_is_refused_for_its_worst_item(value: str | list[str]) -> None:
    with pytest.raises(Rejected, match=r"^invalid address: "):
        parse_addresses(value)


@pytest.mark.parametrize(
    "text",
    [
        '"' * 99_999 + ",",
        '"\\' * 49_000 + ",",
        '"\\"' * 33_000 + ",",
        "a," * 50_000,
        "(" * 99_998 + ",",
    ],
)
def test_a_hostile_list_costs_no_time(text: str) -> None:
    started = time.process_time()
    with pytest.raises(Rejected):
        parse_addresses(text)
    assert time.process_time() - started < 0.5


ADDRESS_ALPHABET = st.text(
    st.sampled_from('ab.@<>()",;: \\=?\r\nüé\u0308[]-_1\u200b\ud800'), max_size=20
)


@settings(max_examples=400, derandomize=True, deadline=None)
@given(ADDRESS_ALPHABET)
def test_any_text_is_read_without_loss_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except Rejected as refusal:
        reason, address = refusal.reason, None
    if address is None:
        assert reason.startswith("invalid address: ")
        assert reason.isprintable()
        return
    local_part = address.spec.rpartition("@")[0]
    assert local_part in text
    assert address.domain.isascii()
    assert address.domain == address.domain.lower()
    assert parse_address(address.spec) == Address("", address.spec)
