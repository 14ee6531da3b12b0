"""What is signed is valid to independent verifiers, and no longer when it was changed."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from asyncmail_dkim import KeySettings, canonical
from asyncmail_dkim.keys import SigningKey, load_key
from asyncmail_dkim.signature import OVERSIGNED, sign
from dkim.canonicalization import Relaxed
from dkim_world import World, signatures
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncmail import mime
from asyncmail.model import Attachment
from asyncmail.testing import samples

HEADER = b"From: a@shop.test\r\nSubject: hello\r\n"
BODIES = [
    b"",
    b"\r\n",
    b"\r\n\r\n\r\n",
    b" \t\r\n",
    b" ",
    b"hello",
    b"hello \t",
    b"hello\r\n",
    b"hello\r\n\r\n \t\r\n\r\n",
    b"\r\n\r\nhello\r\n",
    b"  hello \t world \r\n\t\r\n.\r\n",
    b"a\r\n" * 40_000,
    b"\r\n" * 70_000 + b"x",
    b"\r\n" * 70_000,
    b"x" * 70_000 + b"  y\r\n" * 20_000 + b"\r\n" * 40_000,
]

bodies = st.lists(
    st.sampled_from([b"\r\n", b" ", b"\t", b"a", b".", "é".encode(), b"=20"]), max_size=30
).map(b"".join)
# Text of every script, without what the service refuses before a message is built.
texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Co", "Cn"]), max_size=60)
lines = st.lists(texts, max_size=6).map("\r\n".join)
messages = st.fixed_dictionaries(
    {"subject": texts},
    optional={
        "text": lines,
        "html": lines,
        "headers": st.dictionaries(
            st.sampled_from(["X-Order", "List-Unsubscribe", "References", "Auto-Submitted"]),
            texts,
        ),
        "reply_to": st.sampled_from(["Help <help@shop.test>", "a@b.test, c@d.test"]),
        "cc": st.sampled_from([["Jörg <j@x.test>"], [f"c{n}@list.test" for n in range(30)]]),
        "attachments": st.just([{"filename": "é.bin", "storage_path": "base64:AAECAw=="}]),
    },
)


@pytest.fixture(scope="session")
def keys(world: World) -> list[SigningKey]:
    return [load_key(KeySettings(**one)) for one in world.settings]


def built(payload: dict[str, Any]) -> bytes:
    message = samples.message(**payload)
    return mime.build(message, [Attachment(b"\0\1\2\3") for _ in message.attachments])


def on_the_wire(data: bytes) -> bytes:
    """With the last line ended, as every transport has to send it."""
    return data if data.endswith(b"\r\n") else data + b"\r\n"


@given(payload=messages)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_message_verifies_with_both_algorithms(
    world: World, keys: list[SigningKey], payload: dict[str, Any]
) -> None:
    signed = sign(built(payload), keys, 1_750_000_000)
    assert world.verdicts(signed) == [True, True]
    assert [tags["a"] for tags in signatures(signed)] == ["rsa-sha256", "ed25519-sha256"]


@given(body=bodies)
@settings(max_examples=200, deadline=None)
def test_any_body_is_canonical_as_the_verifier_has_it(body: bytes) -> None:
    assert canonical_hash(body) == the_verifiers_hash(body)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:20]))
def test_bodies_at_the_edges_are_canonical(body: bytes) -> None:
    assert canonical_hash(body) == the_verifiers_hash(body)


def canonical_hash(body: bytes) -> bytes:
    data = HEADER + b"\r\n" + body
    return canonical.body_hash(data, canonical.header_end(data) + 2)


def the_verifiers_hash(body: bytes) -> bytes:
    return sha256(Relaxed.canonicalize_body(on_the_wire(body))).digest()


def test_an_empty_body_has_the_hash_that_the_rfc_gives() -> None:
    """RFC 6376 3.4.4, and it makes no difference whether the empty line is there."""
    expected = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    for data in (HEADER, HEADER + b"\r\n", HEADER + b"\r\n\r\n\r\n"):
        hashed = canonical.body_hash(data, canonical.header_end(data) + 2)
        assert b64encode(hashed).decode() == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"Thank you", b"Thank me"),
        lambda data: data.replace(b"Subject: Order", b"Subject: order"),
        lambda data: data.replace(b"t=1750000000", b"t=1750000001"),
        lambda data: data + b"more\r\n",
        *(lambda data, n=name: n.encode() + b": x\r\n" + data for name in OVERSIGNED),
    ],
)
def test_a_change_or_an_added_field_is_noticed(
    world: World, keys: list[SigningKey], change: Callable[[bytes], bytes]
) -> None:
    signed = sign(samples.built(samples.message()), keys, 1_750_000_000)
    assert world.verdicts(signed) == [True, True]
    assert world.verdicts(change(signed)) == [False, False]


def test_what_relays_may_change_does_not_matter(world: World, keys: list[SigningKey]) -> None:
    signed = sign(samples.built(samples.message()), keys, 1_750_000_000)
    relayed = signed.replace(b"Subject: Order", b"SUBJECT:\r\n\tOrder ").replace(b"you.", b"you. ")
    assert world.verdicts(b"Received: from a by b; today\r\n" + relayed) == [True, True]


def test_repeated_fields_are_all_covered(world: World, keys: list[SigningKey]) -> None:
    data = b"List-Id: one\r\nList-Id: two\r\n" + HEADER + b"\r\nhello\r\n"
    signed = sign(data, keys, 1_750_000_000)
    assert world.verdicts(signed) == [True, True]
    assert world.verdicts(signed.replace(b"List-Id: one", b"List-Id: 1")) == [False, False]
    assert world.verdicts(signed.replace(b"List-Id: two", b"List-Id: 2")) == [False, False]


def test_opendkim_agrees_on_every_odd_message(world: World, keys: list[SigningKey]) -> None:
    odd = samples.odd_messages()
    del odd["an attachment"]
    plain = [samples.built(message) for message in odd.values()]
    plain += [HEADER + b"\r\n" + body for body in BODIES if len(body) < 1000]
    signed = [on_the_wire(sign(data, keys, 1_750_000_000)) for data in plain]
    assert world.opendkim_verdicts(signed) == [["pass", "pass"]] * len(signed)
    forged = [data.replace(b"From: ", b"From: x", 1) for data in signed]
    for verdicts in world.opendkim_verdicts(forged):
        assert len(verdicts) == 2
        assert "pass" not in verdicts


def test_lines_are_short(keys: list[SigningKey]) -> None:
    signed = sign(samples.built(samples.message()), keys, 1_750_000_000)
    assert max(map(len, signed.split(b"\r\n"))) <= 78
