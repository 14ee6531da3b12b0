"""Addresses that readers understand differently, and who gets the mail after all."""

from __future__ import annotations

import base64
import logging
import re
from dataclasses import replace
from typing import Any

import pytest
from bad_bench import ABSENT, Bench, read

FIELDS = ["from", "to", "cc", "bcc", "reply_to", "return_path"]
each_field = pytest.mark.parametrize("field", FIELDS)


async def refuse_each(bench: Bench, field: str, texts: list[str]) -> None:
    """In a list and, where it is read as one address, alone.

    Domains of one letter stand for longer ones, which no validator would refuse.
    """
    texts = [re.sub(r"@([a-z])(?![\w.-])", r"@\1.example", text) for text in texts]
    bad = [bench.message(**{field: text}) for text in texts]
    if field not in ("from", "return_path"):
        bad += [bench.message(**{field: [text]}) for text in texts]
    for reason in await bench.reasons(*bad):
        assert reason.startswith(("invalid address: ", "invalid payload: ", "missing "))


@pytest.mark.bad_input("malformed addresses")
@each_field
async def test_what_is_no_address_is_refused(bench: Bench, field: str) -> None:
    bad = ["a@", "@b", "<", '"', "a", "a@b@c", "a b@c", ".a@b", "a..b@c", "a.@b", "<a@b", "a@b>"]
    await refuse_each(bench, field, [*bad, "a@b..c", "a@.b", "a@-b", "a@b_c", "@", ">", "a@b c"])


@pytest.mark.bad_input("several addresses in one text")
async def test_one_text_with_two_addresses_goes_to_both(bench: Bench) -> None:
    (copy,) = await bench.taken(to="a@b.example, x@y.example", cc='"Lee, Ann" <c@b.example>')
    assert set(copy.recipients) == {"a@b.example", "x@y.example", "c@b.example"}
    assert [a.addr_spec for a in read(copy)["To"].addresses] == ["a@b.example", "x@y.example"]
    await refuse_each(bench, "from", ["a@b.example, x@y.example"])


@pytest.mark.bad_input("addresses that readers disagree about")
@each_field
async def test_what_readers_understand_differently_is_refused(bench: Bench, field: str) -> None:
    bad = [
        "ok@allowed.example <evil@x>",
        "alice@example.org)bob@x",
        "@a:b@c",
        "<@a:b@c>",
        "a@b.c;x",
    ]
    bad += [
        "a@b (c)",
        "(c) a@b",
        "a(c)@b",
        "a@b <c@d>, <e@f>",
        "<a@b> <c@d>",
        "a@b;c@d",
        "A B <a@b> x",
    ]
    bad += ["Team: Ann <a@b>", "Ann (sales) <a@b>", "Ann; <a@b>", "Ann [x] <a@b>"]
    await refuse_each(bench, field, [*bad, "Lee, Ann <a@b>", "=?utf-8?q?a=40b?= <c", "a=@b=@c"])


@pytest.mark.bad_input("groups")
@each_field
async def test_a_group_is_no_address(bench: Bench, field: str) -> None:
    await refuse_each(bench, field, ["G: a@b, c@d;", "undisclosed-recipients:;", "G:;", "G: a@b;"])


@pytest.mark.bad_input("quoted local parts")
async def test_a_quoted_local_part_is_taken_exactly_or_refused(bench: Bench) -> None:
    for address in ('"a b"@customer.example', '"a@x"@customer.example', '"a\\"b"@customer.example'):
        (copy,) = await bench.taken(to=address)
        assert copy.recipients == (address,)
    for field in FIELDS:
        await refuse_each(
            bench, field, ['"<evil@x>"@b.c', '"a\r\n"@b', '"a"b@c', '"a@b', '"a> "@b']
        )


@pytest.mark.bad_input("international domains")
@pytest.mark.parametrize(
    ("sent", "wire"),
    [
        ("a@exämple.example", "a@xn--exmple-cua.example"),
        ("a@EXÄMPLE.example", "a@xn--exmple-cua.example"),
        ("a@exa\u0308mple.example", "a@xn--exmple-cua.example"),
        ("a@XN--exmple-cua.EXAMPLE", "a@xn--exmple-cua.example"),
        ("A@Customer.EXAMPLE", "A@customer.example"),
    ],
)
async def test_a_domain_has_one_form_on_the_wire(bench: Bench, sent: str, wire: str) -> None:
    (copy,) = await bench.taken(to=sent)
    assert copy.recipients == (wire,)
    assert read(copy)["To"].addresses[0].addr_spec == wire


@pytest.mark.bad_input("international domains")
async def test_a_domain_that_has_no_such_form_is_refused(bench: Bench) -> None:
    for field in FIELDS:
        await refuse_each(
            bench, field, ["a@b\u200b.example", "a@\u3002", "a@xn--\u00fc.example", "a@b.."]
        )


@pytest.mark.bad_input("local parts beyond ASCII")
async def test_a_local_part_beyond_ascii_needs_a_server_that_takes_it(bench: Bench) -> None:
    (copy,) = await bench.taken(to="jörg@customer.example")
    assert copy.recipients == ("jörg@customer.example",)
    usual = bench.smtp.profile
    bench.smtp.profile = replace(usual, extensions=("PIPELINING", "8BITMIME"))
    try:
        await bench.service.account("plain")
        assert await bench.taken(id="late", account_id="plain", to="jörg@customer.example") == []
    finally:
        bench.smtp.profile = usual
    shown = await bench.service.show("late")
    assert shown["status"] == "error"
    assert "SMTPUTF8" in shown["error"]
    for field in FIELDS:
        await refuse_each(bench, field, ["jo\u0308rg@customer.example", "\u200bj@customer.example"])


@pytest.mark.bad_input("long addresses")
@each_field
async def test_an_address_over_a_limit_of_smtp_is_refused(bench: Bench, field: str) -> None:
    bad = ["a" * 65 + "@b.example", "ü" * 33 + "@b.example", "a@" + "b" * 64 + ".example"]
    bad += ["a@" + "b." * 127 + "bb", "a" * 64 + "@" + ".".join(["b" * 63] * 3), "a@b" * 400]
    await refuse_each(bench, field, bad)


@pytest.mark.bad_input("domains of one label and literals")
@each_field
async def test_only_a_domain_of_names_is_taken_unless_configured(bench: Bench, field: str) -> None:
    bad = ["a@[127.0.0.1]", "a@[IPv6:::1]", "a@localhost", "a@x.localhost", "a@host", "a@127.0.0.1"]
    bad += ["a@[300.1.1.1]", "a@[", "a@[]", "a@[1.2.3.4", "a@[IPv6:xyz]", "a@[a b]", "a@[x]y"]
    await refuse_each(bench, field, bad)


@pytest.mark.bad_input("routing characters")
@pytest.mark.parametrize("spec", ["a%b@customer.example", "a!b@customer.example"])
async def test_percent_and_bang_are_opaque(bench: Bench, spec: str) -> None:
    (copy,) = await bench.taken(to=spec)
    assert copy.recipients == (spec,)


@pytest.mark.bad_input("invisible characters")
@each_field
async def test_an_address_has_no_invisible_characters(bench: Bench, field: str) -> None:
    every = ["\ud800", "\0", "\u202e", "\u200b", "\u2066", "\ufeff", "\u00ad", "\u200d", "\x7f"]
    bad = [f"a{c}b@customer.example" for c in every] + [f"a@cust{c}omer.example" for c in every[:6]]
    await refuse_each(bench, field, bad)


@pytest.mark.bad_input("look-alikes")
async def test_a_look_alike_goes_where_it_says(bench: Bench) -> None:
    (copy,) = await bench.taken(to="p\u0430ypal@customer.example")  # Cyrillic
    assert copy.recipients == ("p\u0430ypal@customer.example",)
    (copy,) = await bench.taken(to="a@p\u0430ypal.example")
    assert copy.recipients == ("a@xn--pypal-4ve.example",)


@pytest.mark.bad_input("too many recipients")
async def test_501_recipients_are_refused_and_500_get_one_copy_each(bench: Bench) -> None:
    def some(count: int, name: str = "r") -> list[str]:
        return [f"{name}{n}@customer.example" for n in range(count)]

    bad: list[dict[str, Any]] = [
        {"to": some(10_000)},
        {"to": some(501)},
        {"to": ",".join(some(501))},
    ]
    bad += [{"to": some(250), "cc": some(250, "c"), "bcc": some(1, "b")}]
    reasons = await bench.reasons(*(bench.message(**fields) for fields in bad))
    assert {reason.partition(":")[0] for reason in reasons} == {"too large"}
    copies = await bench.taken(to=some(500))
    assert max(len(copy.recipients) for copy in copies) <= 100
    assert sorted(r for copy in copies for r in copy.recipients) == sorted(some(500))


@pytest.mark.bad_input("one recipient twice")
async def test_a_recipient_named_often_gets_one_copy(bench: Bench) -> None:
    (copy,) = await bench.taken(
        to=["a@customer.example", "a@CUSTOMER.example"],
        cc="Ann <a@customer.example>",
        bcc=["a@customer.example", "b@customer.example"],
    )
    assert copy.recipients == ("a@customer.example", "b@customer.example")


@pytest.mark.bad_input("the null sender")
@pytest.mark.parametrize("empty", ["", "<>"])
async def test_mail_may_ask_for_no_bounce(bench: Bench, empty: str) -> None:
    (copy,) = await bench.taken(return_path=empty)
    assert copy.sender == ""
    assert (await bench.refused(**{"from": empty})).startswith(("missing from", "invalid address"))


@pytest.mark.bad_input("bcc")
@pytest.mark.parametrize("content_type", ["plain", "html"])
async def test_bcc_is_in_the_envelope_and_nowhere_else(
    bench: Bench, content_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    hidden = "canary-7c@hidden.example"
    with caplog.at_level(logging.DEBUG, "asyncmail"):
        copies = await bench.taken(
            bcc=[hidden, f"Canary <{hidden.upper()}>"],
            content_type=content_type,
            headers={"X-A": "1"},
            attachments=[{"filename": "a.txt", "storage_path": "base64:aGk="}],
        )
    assert hidden in copies[0].recipients
    for copy in copies:
        assert b"canary" not in copy.data.lower()
        assert b"bcc" not in copy.data.lower()
    metrics = (await bench.ask("GET", "/metrics")).text
    assert hidden not in metrics
    shown = [record for record in caplog.records if record.name.startswith("asyncmail")]
    assert hidden not in "".join(record.getMessage() for record in shown)


@pytest.mark.bad_input("bcc")
async def test_a_finished_message_loses_its_bcc(bench: Bench) -> None:
    own = (
        "From: a@shop.example\r\nTo: b@customer.example\r\nBCC: canary@hidden.example\r\n\r\nx\r\n"
    )
    raw = base64.b64encode(own.encode()).decode()
    (copy,) = await bench.taken(raw=raw, body=None, subject=None, bcc="canary@hidden.example")
    assert b"canary" not in copy.data
    assert "canary@hidden.example" in copy.recipients


@pytest.mark.bad_input("nobody in to")
@pytest.mark.parametrize("to", [ABSENT, None, [], "", " "])
async def test_hidden_recipients_alone_are_not_enough(bench: Bench, to: Any) -> None:
    assert await bench.refused(to=to, bcc=["a@customer.example"]) == "missing to"
    assert await bench.refused(to=to, cc=["a@customer.example"]) == "missing to"


@pytest.mark.bad_input("recipients of another type")
@pytest.mark.parametrize("field", ["to", "cc", "bcc", "reply_to"])
async def test_recipients_are_a_text_or_a_list_of_texts(bench: Bench, field: str) -> None:
    good = "a@customer.example"
    bad: list[Any] = [[[good]], {good: 1}, 7, True, 1.5, [None], [7], [{}], ["", good], [good, ""]]
    bad += ["a" * 1_000_000, [f"{good}, {good}"], [good, " "]]
    await bench.reasons(*(bench.message(**{field: value}) for value in bad))


@pytest.mark.bad_input("senders of another type")
async def test_a_sender_is_one_address(bench: Bench) -> None:
    good = "a@shop.example"
    bad: list[Any] = [
        [good],
        {good: 1},
        7,
        True,
        None,
        "",
        " ",
        "Shop",
        "Shop <>",
        f"{good}, {good}",
    ]
    await bench.reasons(*(bench.message(**{"from": value}) for value in bad))
    paths: list[Any] = [
        [good],
        {good: 1},
        7,
        True,
        "Shop",
        f"Shop <{good}>",
        f"{good}, {good}",
        " ",
    ]
    await bench.reasons(*(bench.message(return_path=value) for value in paths))
    (copy,) = await bench.taken(return_path="other@shop.example")
    assert copy.sender == "other@shop.example"
