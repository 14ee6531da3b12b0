"""What is built is what an independent parser reads: headers, texts, attachments, recipients."""

from __future__ import annotations

from datetime import UTC, datetime
from email.headerregistry import AddressHeader
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mime_samples import (
    CONTENTS,
    CREATED_TS,
    FILENAMES,
    LINES,
    MAILBOXES,
    PRINTABLE,
    built,
    content,
    file,
    mailboxes,
    message,
    normalised,
)

from asyncmail.mime import build
from asyncmail.model import Address, Attachment

quick = settings(max_examples=120, derandomize=True, deadline=None)


def expected(addresses: list[Address]) -> list[tuple[str, str]]:
    return [(address.display, address.spec) for address in addresses]


@quick
@given(LINES)
def test_a_subject_is_read_as_it_was_written(subject: str) -> None:
    _, parsed = built(message(subject=subject))
    assert parsed["Subject"] == subject


@quick
@given(st.lists(MAILBOXES, min_size=1, max_size=4), st.lists(MAILBOXES, max_size=3), MAILBOXES)
def test_mailboxes_are_read_as_they_were_written(
    to: list[Address], cc: list[Address], sender: Address
) -> None:
    data, parsed = built(message(to=tuple(to), cc=tuple(cc), sender=sender, reply_to=(sender,)))
    assert mailboxes(data, "To") == expected(to)
    assert mailboxes(data, "Cc") == expected(cc)
    assert mailboxes(data, "From") == mailboxes(data, "Reply-To") == expected([sender])
    assert [a.addr_spec for a in parsed["To"].addresses] == [a.spec for a in to]


@quick
@given(CONTENTS, CONTENTS)
def test_texts_are_read_as_they_were_written(text: str, html: str) -> None:
    _, parsed = built(message(text=text, html=html))
    plain, rich = parsed.iter_parts()
    assert parsed.get_content_type() == "multipart/alternative"
    assert content(plain) == normalised(text)
    assert content(rich) == normalised(html)
    assert rich.get_content_type() == "text/html"


@quick
@given(CONTENTS)
def test_a_text_alone_is_the_whole_body(text: str) -> None:
    _, parsed = built(message(text=text))
    assert parsed.get_content_type() == "text/plain"
    assert content(parsed) == normalised(text)


@quick
@given(FILENAMES, st.binary(max_size=300))
def test_attachments_keep_their_names_and_bytes(filename: str, content: bytes) -> None:
    sample = message(attachments=(file(filename), file("b.bin")))
    _, parsed = built(sample, [Attachment(content), Attachment(b"")])
    first, second = parsed.iter_attachments()
    assert first.get_filename() == filename
    assert first.get_payload(decode=True) == content
    assert (second.get_filename(), second.get_payload(decode=True)) == ("b.bin", b"")


@quick
@given(st.dictionaries(st.sampled_from(["X-A", "List-Id", "X" * 76]), LINES, max_size=3))
def test_custom_headers_are_read_as_they_were_written(given_headers: dict[str, str]) -> None:
    kept = {n: " ".join(v.split(" ")).strip() for n, v in given_headers.items() if "=?" not in v}
    _, parsed = built(message(headers=tuple(kept.items())))
    for name, value in kept.items():
        assert [word for word in parsed[name].split(" ") if word] == [
            word for word in value.split(" ") if word
        ]


def test_ascii_of_a_custom_header_stays_as_it_is() -> None:
    value = '=?utf-8?q?J=C3=B6rg?= <jo@example.org>, "a; b" (c)'
    data, _ = built(message(headers=(("X-Who", value),)))
    assert f"\r\nX-Who: {value}\r\n".encode() in data


@quick
@given(st.text(PRINTABLE, min_size=1, max_size=300))
def test_encoded_words_keep_the_limits_of_their_rfc(text: str) -> None:
    data, _ = built(message(subject="é" + text, sender=Address("é" + text[:200], "a@b")))
    lines = data.partition(b"\r\nMIME-Version")[0].split(b"\r\n")
    for line in lines:
        if b"=?utf-8?" in line:
            assert len(line) <= 76
        for word in line.split(b"=?utf-8?")[1:]:
            assert len(word) + len(b"=?utf-8?") <= 75


def test_date_and_message_id_are_those_of_acceptance() -> None:
    _, parsed = built(message())
    assert parsed["Date"].datetime == datetime.fromtimestamp(CREATED_TS, UTC)
    assert parsed["Message-ID"] == "<m1@example.org>"
    assert parsed["MIME-Version"] == "1.0"


def test_a_message_without_visible_recipients_says_so() -> None:
    data, parsed = built(message(to=(), bcc=(Address("", "x@example.org"),)))
    assert b"\r\nTo: undisclosed-recipients:;\r\n" in data
    assert isinstance(parsed["To"], AddressHeader)
    assert not parsed["To"].addresses


def test_only_a_mailbox_beyond_ascii_makes_a_message_8_bit() -> None:
    plain = build(message(subject="é", text="é", sender=Address("é", "a@b")), [])
    assert plain.isascii()
    beyond = build(message(to=(Address("Ü", "ü@example.org"),)), [])
    assert "<ü@example.org>".encode() in beyond


def test_every_part_finds_its_place() -> None:
    sample = message(
        html="<img src='cid:logo'>",
        calendar="BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n",
        attachments=(file("logo.png", content_id="logo"), file("offer.docx")),
    )
    _, parsed = built(sample, [Attachment(b"png"), Attachment(b"docx")])

    def shape(part: Any) -> Any:
        kind = part.get_content_type()
        return (kind, [shape(p) for p in part.iter_parts()]) if part.is_multipart() else kind

    word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    related = ("multipart/related", ["text/html", "image/png"])
    alternative = ("multipart/alternative", ["text/plain", related, "text/calendar"])
    assert shape(parsed) == ("multipart/mixed", [alternative, word])
    parts = {part.get_content_type(): part for part in parsed.walk()}
    assert parts["text/calendar"].get_param("method") == "REQUEST"
    assert parts["image/png"]["Content-ID"] == "<logo>"
    assert parts["image/png"].get_content_disposition() == "inline"
    assert parts["multipart/related"].get_param("type") == "text/html"


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "text/plain"),
        ({"text": None}, "text/plain"),
        ({"text": None, "html": "x"}, "text/html"),
        ({"text": None, "calendar": "BEGIN:VCALENDAR\n"}, "text/calendar"),
        ({"html": "x"}, "multipart/alternative"),
    ],
)
def test_no_multipart_without_need(fields: dict[str, Any], kind: str) -> None:
    assert built(message(**fields))[1].get_content_type() == kind


def test_an_image_without_a_page_to_show_it_is_a_file() -> None:
    sample = message(text=None, attachments=(file("a.png", content_id="a"),))
    _, parsed = built(sample, [Attachment(b"x")])
    assert parsed.get_content_type() == "multipart/mixed"
    assert [part.get_content_type() for part in parsed.iter_parts()] == ["image/png"]


@pytest.mark.parametrize(
    ("source", "reference", "filename", "used"),
    [
        ("image/png", "image/gif", "a.jpg", "image/png"),
        (None, "image/gif", "a.jpg", "image/gif"),
        (None, None, "a.jpg", "image/jpeg"),
        (None, None, "a.unheard-of", "application/octet-stream"),
        (None, None, "mail.eml", "application/octet-stream"),
        ("message/rfc822", None, "mail.eml", "application/octet-stream"),
        ("text/html; charset=x", None, "a.html", "text/html"),
    ],
)
def test_the_type_of_a_file(
    source: str | None, reference: str | None, filename: str, used: str
) -> None:
    sample = message(attachments=(file(filename, mime_type=reference),))
    _, parsed = built(sample, [Attachment(b"x", source)])
    assert next(parsed.iter_attachments()).get_content_type() == used
