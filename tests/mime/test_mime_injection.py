"""No field of a payload becomes a header of its own, whatever it contains (CWE-93)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from mime_samples import assert_wire_safe, file, message, parse

from asyncmail.errors import BuildError, Rejected
from asyncmail.mime import build
from asyncmail.model import Address, Attachment, Message
from asyncmail.payload import fill_in, message_from_payload

ATTACKS = {
    "CRLF": "\r\nX-Inj: 1",
    "LF": "\nX-Inj: 1",
    "CR": "\rX-Inj: 1",
    "VT": "\x0bX-Inj: 1",
    "FF": "\x0cX-Inj: 1",
    "NEL": "\x85X-Inj: 1",
    "LS": "\u2028X-Inj: 1",
    "PS": "\u2029X-Inj: 1",
    "NUL": "\0X-Inj: 1",
    "DEL": "\x7fX-Inj: 1",
    "trailing LF": "\n",
    "empty line": "\r\n\r\nX-Inj: 1",
    "encoded CRLF": "=?UTF-8?Q?=0D=0A?=X-Inj: 1",
    "encoded LF": " =?utf-8?q?=0A?= X-Inj: 1",
    "encoded LF in base64": "=?utf-8?b?ClgtSW5qOiAx?=",
    "encoded twice": "=?utf-8?q?=3D=3Futf-8=3Fq=3F=3D0A=3F=3D?=",
    "encoded in an unknown charset": "=?x-evil?q?=0AX-Inj:_1?=",
}


def attached(**fields: Any) -> dict[str, Any]:
    return {"attachments": [{"filename": "a.txt", "storage_path": "base64:aGk=", **fields}]}


FIELDS: dict[str, Callable[[str], dict[str, Any]]] = {
    "id": lambda text: {"id": text},
    "account_id": lambda text: {"account_id": text},
    "subject": lambda text: {"subject": text},
    "from": lambda text: {"from": f"a@b.org{text}"},
    "to": lambda text: {"to": f"a@b.org{text}"},
    "cc": lambda text: {"cc": [f"a@b.org{text}"]},
    "bcc": lambda text: {"bcc": f"{text}a@b.org"},
    "reply_to": lambda text: {"reply_to": f"a{text}@b.org"},
    "return_path": lambda text: {"return_path": f"a@b.org{text}"},
    "display name": lambda text: {"from": f"{text} <a@b.org>"},
    "quoted display name": lambda text: {"to": f'"{text}" <a@b.org>'},
    "message_id": lambda text: {"message_id": f"<a@b{text}>"},
    "header value": lambda text: {"headers": {"X-A": text}},
    "header value beyond ASCII": lambda text: {"headers": {"X-A": f"é{text}"}},
    "header name": lambda text: {"headers": {f"X-A{text}": "1"}},
    "filename": lambda text: attached(filename=f"{text}.txt"),
    "storage_path": lambda text: attached(storage_path=f"/srv/{text}"),
    "mime_type": lambda text: attached(mime_type=f"text/plain{text}"),
    "content_id": lambda text: {"content_type": "html", **attached(content_id=text)},
    "content_type": lambda text: {"content_type": f"html{text}"},
    "body": lambda text: {"body": text},
    "calendar": lambda text: {"calendar": f"BEGIN:VCALENDAR\r\nMETHOD:REQUEST{text}\r\n"},
    "tags": lambda text: {"tags": [text]},
}
HEADERS = {
    *["date", "message-id", "from", "to", "cc", "reply-to", "subject", "mime-version", "x-a"],
    *["content-type", "content-transfer-encoding"],
}


def as_sent(fields: dict[str, Any]) -> Message:
    payload = {
        "id": "M1",
        "from": "a@b.org",
        "to": "c@d.org",
        "subject": "s",
        "body": "t",
        **fields,
    }
    payload = fill_in(payload, created_ts=1.75e9, random=random.Random(1))
    return message_from_payload(
        payload, tenant_id="default", account_id="acc", priority=2, created_ts=1.75e9
    )


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_or_harmless(field: str, attack: str) -> None:
    try:
        sample = as_sent(FIELDS[field](ATTACKS[attack]))
    except Rejected:
        return
    assert field not in ("from", "to", "cc", "bcc", "reply_to", "return_path", "message_id")
    contents = [Attachment(b"hi")] * len(sample.attachments)
    data = build(sample, contents)
    assert_wire_safe(data)
    parsed = parse(data)
    assert {name.lower() for name in parsed.keys()} <= HEADERS  # noqa: SIM118 - repeats count
    assert len(parsed.keys()) == len(set(parsed.keys()))
    assert all("\n" not in str(value) and "\r" not in str(value) for value in parsed.values())
    for part in parsed.walk():
        assert part["X-Inj"] is None
        assert "\n" not in (part.get_filename() or "")


@pytest.mark.parametrize("control", ["\r\nX-Inj: 1", "\n", "\r", "\0", "\x85", "\u2028", "\ud800"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda m, text: replace(m, subject=text),
        lambda m, text: replace(m, message_id=f"<a{text}@b>"),
        lambda m, text: replace(m, sender=Address(text, "a@b")),
        lambda m, text: replace(m, sender=Address("", f"a@b{text}")),
        lambda m, text: replace(m, to=(Address(text, "a@b"),)),
        lambda m, text: replace(m, cc=(Address("", f"a@b{text}"),)),
        lambda m, text: replace(m, reply_to=(Address(text, "a@b"),)),
        lambda m, text: replace(m, headers=(("X-A", text),)),
        lambda m, text: replace(m, headers=((f"X-A{text}", "1"),)),
        lambda m, text: replace(m, attachments=(file(text),)),
        lambda m, text: replace(m, attachments=(file(content_id=text),)),
        lambda m, text: replace(m, attachments=(file(mime_type=f"text/plain{text}"),)),
    ],
)
def test_the_builder_trusts_nobody(spoil: Callable[[Message, str], Message], control: str) -> None:
    spoilt = spoil(message(), control)
    with pytest.raises(BuildError):
        build(spoilt, [Attachment(b"x")] * len(spoilt.attachments))


def test_bcc_is_nowhere_in_the_bytes() -> None:
    canary = Address("Canary Secret", "canary@hidden.example")
    sample = message(html="<p>x</p>", bcc=(canary,), attachments=(file(),), headers=(("X-A", "1"),))
    data = build(sample, [Attachment(b"x")])
    assert canary.spec in sample.recipients
    for trace in (b"canary", b"hidden.example", b"bcc"):
        assert trace not in data.lower()


@pytest.mark.parametrize(
    "unfit",
    [
        message(message_id=""),
        message(created_ts=1e20),
        message(created_ts=float("nan")),
        message(text="\ud800"),
        message(headers=(("Bcc", "x@y"),)),
        message(headers=(("bcc", "x@y"),)),
        message(headers=(("Content-Type", "text/html"),)),
        message(headers=(("X", "=?utf-8?q?=0A?="),)),
        message(attachments=(file(),)),
        message(attachments=(file(mime_type="message/rfc822"),)),
        message(attachments=(file(mime_type="multipart/mixed"),)),
    ],
)
def test_what_cannot_be_built_says_so(unfit: Message) -> None:
    contents = [Attachment(b"x")] * sum(a.mime_type is not None for a in unfit.attachments)
    with pytest.raises(BuildError, match="'M1' cannot be built: "):
        build(unfit, contents)
