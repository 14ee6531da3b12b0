"""Payloads: what a client may ask for, what it is told when it may not."""

from __future__ import annotations

import base64
import json
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncmail.errors import Rejected
from asyncmail.model import Address, AttachmentReference, Message, OnUncertain
from asyncmail.payload import fill_in, message_from_payload
from asyncmail.payload.message import FIELDS

CREATED_TS = 1_750_000_000.0
MINIMAL = {"id": "M1", "from": "a@example.org", "to": "b@example.org", "subject": "s", "body": "t"}
CONTROLS = [
    "\r\nX-Inj: 1",
    "\n",
    "\r",
    "\x0b",
    "\x0c",
    "\x85",
    "\u2028",
    "\u2029",
    "\0",
    "\t",
    "\x7f",
]


def read(**fields: Any) -> Message:
    return read_whole({**MINIMAL, **fields})


def read_whole(payload: Any) -> Message:
    return message_from_payload(
        payload, tenant_id="default", account_id="acc", priority=2, created_ts=CREATED_TS
    )


def reason(**fields: Any) -> str:
    with pytest.raises(Rejected) as refusal:
        read(**fields)
    assert refusal.value.reason.isprintable()
    return refusal.value.reason


def attachment(**fields: Any) -> dict[str, Any]:
    return {"filename": "a.txt", "storage_path": "base64:aGk=", **fields}


def test_inline_content_has_its_prefix_however_it_was_marked() -> None:
    marked = attachment(storage_path="aGk=", fetch_mode="base64")
    given = {**MINIMAL, "attachments": [marked, attachment(fetch_mode="base64"), attachment()]}
    stored = fill_in(given, created_ts=CREATED_TS, random=random.Random(1))
    assert [a["storage_path"] for a in stored["attachments"]] == ["base64:aGk="] * 3
    assert [a.storage_path for a in read(**given).attachments] == ["base64:aGk="] * 3


def test_a_full_payload_becomes_a_message() -> None:
    message = read(
        to=["Ann <ann@example.org>", "bob@EXAMPLE.org"],
        cc="c@example.org, d@example.org",
        bcc=["e@example.org"],
        reply_to="r@example.org",
        return_path="bounce@example.org",
        subject="=?utf-8?q?caf=C3=A9?=",
        headers={"X-Shop": "1", "X-Count": 3, "X-Rate": 0.5, "X-Who": "Jörg"},
        message_id="one@example.org",
        attachments=[attachment(content_md5="A" * 32, mime_type="TEXT/Plain", content_id="<i1>")],
        tags=["invoice"],
        deferred_ts=1_750_000_100,
        expires_ts=1_750_000_200,
        on_uncertain="hold",
    )
    assert message.to == (Address("Ann", "ann@example.org"), Address("", "bob@example.org"))
    assert [a.spec for a in message.cc] == ["c@example.org", "d@example.org"]
    assert message.subject == "café"
    assert (message.text, message.html) == ("t", None)
    assert message.envelope_sender == "bounce@example.org"
    assert message.message_id == "<one@example.org>"
    assert dict(message.headers) == {
        "X-Shop": "1",
        "X-Count": "3",
        "X-Rate": "0.5",
        "X-Who": "Jörg",
    }
    assert message.attachments == (
        AttachmentReference("base64:aGk=", "a.txt", None, "a" * 32, "text/plain", "i1"),
    )
    assert message.on_uncertain is OnUncertain.HOLD
    assert (message.deferred_ts, message.expires_ts) == (1_750_000_100, 1_750_000_200)


@pytest.mark.parametrize(
    ("fields", "beginning"),
    [
        ({"id": None}, "missing id"),
        ({"id": ""}, "missing id"),
        ({"id": " "}, "missing id"),
        ({"id": 7}, "invalid payload"),
        ({"id": "i" * 256}, "too large"),
        ({"from": None}, "missing from"),
        ({"from": ""}, "missing from"),
        ({"from": ["a@b"]}, "invalid payload"),
        ({"from": "a@b, c@d"}, "invalid address"),
        ({"from": "Shop"}, "invalid address"),
        ({"to": None}, "missing to"),
        ({"to": []}, "missing to"),
        ({"to": ""}, "missing to"),
        ({"to": [""]}, "invalid address"),
        ({"to": [["a@b"]]}, "invalid address"),
        ({"to": {"a@b": 1}}, "invalid payload"),
        ({"to": 7}, "invalid payload"),
        ({"to": ["a@b"] * 501}, "too large"),
        ({"to": ["a@b"] * 250, "cc": ["a@b"] * 250, "bcc": "a@b"}, "too large"),
        ({"cc": "a@"}, "invalid address"),
        ({"reply_to": "a@"}, "invalid address"),
        ({"return_path": "a@"}, "invalid address"),
        ({"return_path": "A <a@b>"}, "invalid address"),
        ({"return_path": []}, "invalid payload"),
        ({"subject": "s" * 2001}, "too large"),
        ({"subject": ["s"]}, "invalid payload"),
        ({"body": None}, "invalid payload: body is missing"),
        ({"body": 7}, "invalid payload"),
        ({"body": "\0"}, "invalid payload"),
        ({"body": "\ud800"}, "invalid payload"),
        ({"account_id": "a" * 129}, "too large"),
        ({"account_id": 1}, "invalid payload"),
        ({"headers": []}, "invalid payload"),
        ({"headers": {"X": True}}, "invalid payload"),
        ({"headers": {"X": None}}, "invalid payload"),
        ({"headers": {"X": ["a"]}}, "invalid payload"),
        ({"headers": {"X": {"a": 1}}}, "invalid payload"),
        ({"headers": {"X": math.inf}}, "invalid payload"),
        ({"headers": {"X": math.nan}}, "invalid payload"),
        ({"headers": {"X": 10**5000}}, "invalid payload"),
        ({"headers": {"X": "a" * 2001}}, "too large"),
        ({"headers": {f"X-{n}": "a" for n in range(101)}}, "too large"),
        ({"message_id": "no-at-sign"}, "invalid payload"),
        ({"message_id": "<a@b> <c@d>"}, "invalid payload"),
        ({"message_id": "<a b@c>"}, "invalid payload"),
        ({"message_id": "<a@b"}, "invalid payload"),
        ({"message_id": "<a@" + "b" * 1000 + ">"}, "invalid payload"),
        ({"message_id": ""}, "invalid payload"),
        ({"message_id": 7}, "invalid payload"),
        ({"attachments": {}}, "invalid payload"),
        ({"attachments": ["a.txt"]}, "invalid payload"),
        ({"attachments": [attachment()] * 101}, "too large"),
        ({"attachments": [attachment(filename="")]}, "invalid payload"),
        ({"attachments": [attachment(filename=None)]}, "invalid payload"),
        ({"attachments": [attachment(filename="../")]}, "invalid payload"),
        ({"attachments": [attachment(filename="..")]}, "invalid payload"),
        ({"attachments": [attachment(filename="\u202egpj.exe")]}, "invalid payload"),
        ({"attachments": [attachment(filename="\ud800")]}, "invalid payload"),
        ({"attachments": [attachment(storage_path="")]}, "invalid payload"),
        ({"attachments": [attachment(storage_path=None)]}, "invalid payload"),
        ({"attachments": [attachment(storage_path="/a\nb")]}, "invalid payload"),
        ({"attachments": [attachment(storage_path="base64:a")]}, "invalid payload"),
        ({"attachments": [attachment(storage_path="base64:aG k=")]}, "invalid payload"),
        ({"attachments": [attachment(storage_path="é", fetch_mode="base64")]}, "invalid payload"),
        ({"attachments": [attachment(mime_type="multipart/mixed")]}, "invalid payload"),
        ({"attachments": [attachment(mime_type="message/rfc822")]}, "invalid payload"),
        ({"attachments": [attachment(mime_type="Message/RFC822")]}, "invalid payload"),
        ({"attachments": [attachment(mime_type="text/plain; charset=x")]}, "invalid payload"),
        ({"attachments": [attachment(mime_type="text/plain\r\nX: y")]}, "invalid payload"),
        ({"attachments": [attachment(mime_type="text")]}, "invalid payload"),
        ({"attachments": [attachment(mime_type=["text/plain"])]}, "invalid payload"),
        ({"attachments": [attachment(content_md5="x")]}, "invalid payload"),
        ({"attachments": [attachment(content_id="a b")]}, "invalid payload"),
        ({"attachments": [attachment(content_id="a")] * 2}, "invalid payload"),
        ({"attachments": [attachment(fetch_mode="No!")]}, "invalid payload"),
        ({"calendar": "hello"}, "invalid payload"),
        ({"tags": "a"}, "invalid payload"),
        ({"tags": [1]}, "invalid payload"),
        ({"tags": ["a"] * 51}, "too large"),
        ({"deferred_ts": "123"}, "invalid payload"),
        ({"deferred_ts": True}, "invalid payload"),
        ({"deferred_ts": -1}, "invalid payload"),
        ({"deferred_ts": math.nan}, "invalid payload"),
        ({"deferred_ts": 10**30}, "invalid payload"),
        ({"deferred_ts": CREATED_TS * 1000}, "invalid payload"),
        ({"deferred_ts": CREATED_TS + 367 * 86400}, "invalid payload"),
        ({"expires_ts": 10**15}, "invalid payload"),
        ({"on_uncertain": "ask"}, "invalid payload"),
        ({"on_uncertain": ["retry"]}, "invalid payload"),
    ],
)
def test_a_bad_payload_is_refused_with_a_stable_reason(
    fields: dict[str, Any], beginning: str
) -> None:
    assert reason(**fields).startswith(beginning)


@pytest.mark.parametrize("payload", [None, [], "x", 7, True])
def test_a_message_is_an_object(payload: Any) -> None:
    with pytest.raises(Rejected, match=r"^invalid payload"):
        read_whole(payload)
    with pytest.raises(Rejected, match=r"^invalid payload"):
        fill_in(payload, created_ts=CREATED_TS, random=random.Random(1))


FIELDS_OF_ONE_LINE: dict[str, Any] = {
    "id": lambda text: {"id": text},
    "account_id": lambda text: {"account_id": text},
    "from": lambda text: {"from": text},
    "from display": lambda text: {"from": f"{text} <a@b>"},
    "from quoted display": lambda text: {"from": f'"{text}" <a@b>'},
    "to": lambda text: {"to": text},
    "to item": lambda text: {"to": [f"a@b{text}"]},
    "cc": lambda text: {"cc": f"a@b{text}"},
    "bcc": lambda text: {"bcc": f"a@b{text}"},
    "reply_to": lambda text: {"reply_to": f"A{text} <a@b>"},
    "return_path": lambda text: {"return_path": f"a@b{text}"},
    "subject": lambda text: {"subject": f"s{text}"},
    "message_id": lambda text: {"message_id": f"<a@b{text}>"},
    "header value": lambda text: {"headers": {"X-A": f"v{text}"}},
    "header name": lambda text: {"headers": {f"X-A{text}": "v"}},
    "filename": lambda text: {"attachments": [attachment(filename=f"a{text}")]},
    "storage_path": lambda text: {"attachments": [attachment(storage_path=f"/a{text}")]},
    "mime_type": lambda text: {"attachments": [attachment(mime_type=f"text/a{text}")]},
    "content_id": lambda text: {"attachments": [attachment(content_id=f"a{text}")]},
    "content_md5": lambda text: {"attachments": [attachment(content_md5="a" * 32 + text)]},
    "fetch_mode": lambda text: {"attachments": [attachment(fetch_mode=f"a{text}")]},
    "tags": lambda text: {"tags": [f"a{text}"]},
}


@pytest.mark.parametrize("field", FIELDS_OF_ONE_LINE)
@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
def test_no_field_of_one_line_takes_control_characters(field: str, control: str) -> None:
    fields = FIELDS_OF_ONE_LINE[field]
    assert reason(**fields(control)).startswith("invalid ")
    assert reason(**fields(control + "x")).startswith("invalid ")


ENCODED = [
    "=?UTF-8?Q?=0D=0A?=Bcc: e@x",
    "=?x-none?q?=0a?=",
    "=?utf-8?b?Cg?=",
    "=?utf-8*en?Q?a=00 b?=",
]


@pytest.mark.parametrize("word", ENCODED)
@pytest.mark.parametrize(
    "field",
    ["from display", "from quoted display", "reply_to", "subject", "header value", "filename"],
)
def test_no_encoded_word_hides_control_characters(field: str, word: str) -> None:
    assert reason(**FIELDS_OF_ONE_LINE[field](word)).startswith("invalid ")


@pytest.mark.parametrize("name", ["", "X A", "X:", "X-A: b", "é", "X\0", "X" * 77])
def test_a_header_name_is_printable_ascii_without_colon(name: str) -> None:
    assert reason(headers={name: "v"}).startswith("invalid payload: not a header name")


@pytest.mark.parametrize(
    "name",
    [
        *[
            "Bcc",
            "bCC",
            "From",
            "To",
            "Cc",
            "Sender",
            "Reply-To",
            "Return-Path",
            "Received",
            "Date",
        ],
        *["Subject", "Message-ID", "MIME-Version", "Content-Type", "content-x", "Resent-Bcc"],
        *["DKIM-Signature", "ARC-Seal"],
    ],
)
def test_headers_of_the_service_cannot_be_set(name: str) -> None:
    assert reason(headers={name: "v"}) == f"invalid payload: header {name} is reserved"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a.txt", "a.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\docs\\b.txt", "b.txt"),
        ("x/..\\c.txt", "c.txt"),
        ('q"; x=y.txt', 'q"; x=y.txt'),
        ("Überblick.pdf", "Überblick.pdf"),
        ("=?utf-8?q?=C3=BC.pdf?=", "ü.pdf"),
        ("n" * 1000 + ".pdf", "n" * 251 + ".pdf"),
        ("n" * 1000, "n" * 255),
    ],
)
def test_a_filename_is_a_base_name_of_at_most_255_characters(given: str, kept: str) -> None:
    (reference,) = read(attachments=[attachment(filename=given)]).attachments
    assert reference.filename == kept


@pytest.mark.parametrize(
    ("fields", "text", "html"),
    [
        ({"body": "t"}, "t", None),
        ({"body": ""}, "", None),
        ({"body": "h", "content_type": "html"}, None, "h"),
        ({"body": "t", "content_type": "markdown"}, "t", None),
        ({"body": "t", "content_type": "html\r\nX: 1"}, "t", None),
        ({"body": "t", "content_type": 7}, "t", None),
        ({"body": "t", "html": True}, "t", None),
        ({"body": "t", "text": "x", "html": "y"}, "t", None),
        ({"body": None, "text": "x", "html": "y"}, "x", "y"),
        ({"body": None, "text": 1, "html": "y"}, None, "y"),
    ],
)
def test_body_comes_before_text_and_html(
    fields: dict[str, Any], text: str | None, html: str | None
) -> None:
    message = read(**fields)
    assert (message.text, message.html) == (text, html)


def test_recipients_in_bcc_or_cc_alone_are_enough() -> None:
    assert read(to=[], bcc="x@example.org").recipients == ("x@example.org",)
    assert read(to=None, cc="x@example.org").recipients == ("x@example.org",)
    assert len(read(to=[f"r{n}@example.org" for n in range(500)]).recipients) == 500


def test_each_recipient_counts_once_whatever_the_case_of_its_domain() -> None:
    message = read(to=["x@example.org", "x@EXAMPLE.org"], cc="x@example.org", bcc="y@example.org")
    assert message.recipients == ("x@example.org", "y@example.org")


@pytest.mark.parametrize(("given", "kept"), [(None, "a@example.org"), ("", ""), ("<>", "")])
def test_the_return_path_may_be_the_null_one(given: str | None, kept: str) -> None:
    assert read(return_path=given).envelope_sender == kept


def test_fields_that_only_the_service_sets_and_unknown_ones_are_dropped() -> None:
    given = {**MINIMAL, "sent_ts": 1, "state": "sent", "from_name": "A\ud800", "html": "\ud800"}
    given["attachments"] = [attachment(junk="\ud800", mime_type=None)]
    stored = fill_in(given, created_ts=CREATED_TS, random=random.Random(1))
    assert set(stored) == {*MINIMAL, "attachments", "message_id"}
    assert stored["attachments"] == [attachment()]
    json.dumps(stored, ensure_ascii=False).encode()


def test_the_message_id_is_made_once_and_then_kept() -> None:
    once = fill_in(MINIMAL, created_ts=CREATED_TS, random=random.Random(1))
    again = fill_in(once, created_ts=CREATED_TS + 1, random=random.Random(2))
    other = fill_in(MINIMAL, created_ts=CREATED_TS, random=random.Random(2))
    assert once["message_id"].endswith("@example.org>")
    assert again == once
    assert other["message_id"] != once["message_id"]
    assert read_whole(once).message_id == once["message_id"]


@pytest.mark.parametrize("sender", ["a@[IPv6:::1]", "a@exämple.org", "a@localhost", '"x y"@b.org'])
def test_a_generated_message_id_is_valid_for_any_sender(sender: str) -> None:
    stored = fill_in({**MINIMAL, "from": sender}, created_ts=CREATED_TS, random=random.Random(1))
    assert read_whole(stored).message_id == stored["message_id"]


def test_a_stored_payload_reads_the_same_after_its_way_through_json() -> None:
    given = {**MINIMAL, "to": ["Jörg <j@exämple.org>"], "headers": {"X-N": 1.5}, "deferred_ts": 7}
    stored = fill_in(given, created_ts=CREATED_TS, random=random.Random(1))
    assert read_whole(json.loads(json.dumps(stored))) == read_whole(stored)


def raw(data: bytes, **fields: Any) -> dict[str, Any]:
    own = base64.b64encode(data).decode()
    return {**MINIMAL, "subject": "", "body": None, "raw": own, **fields}


def test_raw_stands_alone_and_brings_its_own_message_id() -> None:
    stored = fill_in(
        raw(b"From: a@b\nMessage-ID: <own@b>\n\nhi\n"), created_ts=1.0, random=random.Random(1)
    )
    message = read_whole(stored)
    assert stored["message_id"] == message.message_id == "<own@b>"
    assert message.raw == b"From: a@b\r\nMessage-ID: <own@b>\r\n\r\nhi\r\n"
    for field in ({"body": "x"}, {"subject": "x"}, {"headers": {"X": "1"}}, {"html": "x"}):
        with pytest.raises(Rejected, match="has no place beside raw"):
            read_whole(raw(b"From: a@b\n\nhi", **field))


@pytest.mark.parametrize("own", ["%", "aG k=", "é", 7, ["aGk="], "", "aGk="])
def test_raw_that_is_no_message_is_refused(own: Any) -> None:
    with pytest.raises(Rejected, match=r"^invalid payload"):
        read_whole({**MINIMAL, "subject": "", "body": None, "raw": own})


TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["a@b", "A <a@b>", "", "base64:aGk=", "\ud800", "=?utf-8?q?=0a?=", "a.txt"]),
)
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**30, -(10**400)])
    | st.floats()
    | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXTS, inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["filename", "storage_path", "mime_type", "content_id"]), inner
        )
    ),
    max_leaves=8,
)
PAYLOADS = st.dictionaries(
    st.sampled_from([name for name in FIELDS if name != "priority"]),  # whoever calls reads that
    ANY_JSON,
    max_size=5,
)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(ANY_JSON | PAYLOADS)
def test_any_json_is_read_or_refused_and_nothing_else(value: Any) -> None:
    for payload in (value, {**MINIMAL, **value} if isinstance(value, dict) else MINIMAL):
        try:
            stored = fill_in(payload, created_ts=CREATED_TS, random=random.Random(1))
            message = read_whole(stored)
        except Rejected:
            continue
        assert message.message_id
        json.dumps(stored, ensure_ascii=False).encode()
