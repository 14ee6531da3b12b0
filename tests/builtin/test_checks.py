"""The validator ``addresses``: local domains are refused, and what may deceive is named."""

from __future__ import annotations

from typing import Any

import pytest

from asyncmail import Rejected
from asyncmail.builtin.checks import Checks, ChecksSettings
from asyncmail.model import Account, Address, Message

ACCOUNT = Account("a", "mail.example.test")


def message(**changes: Any) -> Message:
    fields: dict[str, Any] = {
        "id": "m",
        "account_id": "a",
        "sender": Address("", "me@example.test"),
        "to": (Address("", "you@example.test"),),
        "cc": (),
        "bcc": (),
        "subject": "s",
        "text": "t",
        "html": None,
        "message_id": "<m@example.test>",
        "created_ts": 0.0,
    }
    return Message(**{**fields, **changes})


async def check(message: Message, **settings: bool) -> list[str]:
    return await Checks(ChecksSettings(**settings)).validate(message, ACCOUNT) or []


def to(spec: str, display: str = "") -> Message:
    return message(to=(Address(display, spec),))


@pytest.mark.parametrize(
    "spec",
    ["x@example.test", "x@mail.example", "x@a.b.invalid", "x@xn--exmple-cua.com", "x@9gag.com"],
)
async def test_ordinary_and_reserved_test_domains_pass_without_a_word(spec: str) -> None:
    assert await check(to(spec)) == []


@pytest.mark.parametrize(
    ("spec", "allowed_by"),
    [
        ("x@localhost", "allow_single_label"),
        ("x@printer", "allow_single_label"),
        ("x@printer-2", "allow_single_label"),
        ("x@7", None),
        ("x@app.localhost", "allow_single_label"),
        ("x@[127.0.0.1]", "allow_literals"),
        ("x@[ipv6:::1]", "allow_literals"),
        ("x@127.0.0.1", None),
    ],
)
async def test_local_domains_are_refused_unless_allowed(spec: str, allowed_by: str | None) -> None:
    with pytest.raises(Rejected) as caught:
        await check(to(spec))
    assert caught.value.reason.startswith(f"invalid address: '{spec}'")
    both = {"allow_single_label": True, "allow_literals": True}
    if allowed_by is None:
        with pytest.raises(Rejected):
            await check(to(spec), **both)
    else:
        assert await check(to(spec), **{allowed_by: True}) == []
        with pytest.raises(Rejected):
            await check(to(spec), **{**both, allowed_by: False})


@pytest.mark.parametrize("field", ["sender", "to", "cc", "bcc", "reply_to", "return_path"])
async def test_every_field_is_checked(field: str) -> None:
    bad = Address("", "x@localhost")
    values: dict[str, Any] = {"sender": bad, "return_path": bad.spec}
    with pytest.raises(Rejected, match="'x@localhost'"):
        await check(message(**{field: values.get(field, (bad,))}))


async def test_a_null_return_path_is_fine() -> None:
    assert await check(message(return_path="")) == []


@pytest.mark.parametrize(
    ("spec", "display", "doubt"),
    [
        ("x@xn--pypal-4ve.com", "", "domain mixes Cyrillic and Latin letters"),
        ("x@xn--80ak6aa92e.com", "", "domain is written in letters that look like Latin ones"),
        ("p\u0430y@example.test", "", "local part mixes Cyrillic and Latin letters"),
        ("x@example.test", "P\u0430yPal", "display name mixes Cyrillic and Latin letters"),
        ("x@example.test", "Pay\u200bPal", "display name contains invisible characters"),
        ("x@example.test", "abc\u202egpj.exe", "display name contains characters that change"),
        ("x@example.test", "ceo@bank.test", "display name is another address"),
    ],
)
async def test_what_may_deceive_is_accepted_with_a_warning(
    spec: str, display: str, doubt: str
) -> None:
    (warning,) = await check(to(spec, display))
    assert warning.startswith(f"to {spec}: the {doubt}")


@pytest.mark.parametrize(
    ("spec", "display"),
    [
        ("x@example.test", "Zoë Müller-Łuk"),
        ("x@example.test", "Иван Петров"),
        ("x@example.test", "Ivan Иван"),
        ("x@example.test", "山田太郎 Taro"),
        ("x@example.test", "东京タワー"),
        ("x@example.test", "דוד לוי"),
        ("x@example.test", "نمی‌دانم"),
        ("x@example.test", "👩‍💻 Ann"),
        ("x@example.test", "x@example.test"),
        ("x@xn--e1afmkfd.xn--p1ai", ""),
        ("x@xn--99999999999.test", ""),
    ],
)
async def test_honest_names_in_any_script_pass_without_a_word(spec: str, display: str) -> None:
    assert await check(to(spec, display)) == []


async def test_warnings_are_bounded() -> None:
    many = tuple(Address("a@b.test", f"x{n}@example.test") for n in range(500))
    assert len(await check(message(to=many))) == 20
