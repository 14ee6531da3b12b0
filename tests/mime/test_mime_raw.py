"""Messages that the application composed itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mime_samples import assert_wire_safe, message, parse

from asyncmail.mime import build, raw

GOOD = b"From: a@b\r\nDate: Sun, 15 Jun 2025 15:06:40 +0000\r\nMessage-ID: <x@y>\r\n\r\nhi\r\n"


def test_a_complete_message_goes_out_as_it_is() -> None:
    assert raw.clean(GOOD) == GOOD
    assert build(message(raw=GOOD), []) == GOOD


def test_date_and_message_id_are_added_where_missing() -> None:
    data = build(message(raw=raw.clean(b"From: a@b\nX: 1\n\nhi")), [])
    assert data == (
        b"Date: Sun, 15 Jun 2025 15:06:40 +0000\r\nMessage-ID: <m1@example.org>\r\n"
        b"From: a@b\r\nX: 1\r\n\r\nhi\r\n"
    )


@pytest.mark.parametrize("name", ["Bcc", "BCC", "bcc", "Resent-Bcc"])
def test_bcc_is_taken_out_with_all_its_lines(name: str) -> None:
    data = raw.clean(f"From: a@b\n{name}: c@d,\n canary@d\nTo: e@f\n\nhi\n".encode())
    assert data == b"From: a@b\r\nTo: e@f\r\n\r\nhi\r\n"


def test_folded_headers_stay_folded() -> None:
    data = raw.clean(b"From: a@b\nSubject: one\n\ttwo\n three\nMessage-ID:\n <x@y>\n\nhi\n")
    assert b"\r\nSubject: one\r\n\ttwo\r\n three\r\n" in data
    assert raw.message_id(data) == "<x@y>"


def test_line_ends_in_the_body_become_crlf() -> None:
    assert raw.clean(b"From: a@b\r\n\r\na\rb\nc\r\nd").endswith(b"\r\n\r\na\r\nb\r\nc\r\nd\r\n")
    assert raw.clean(b"From: a@b\n\n").endswith(b"From: a@b\r\n\r\n")
    assert raw.clean(b"From: a@b") == b"From: a@b\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "malformed"),
        (b"\n\nhi", "malformed"),
        (b"\r\n\r\nhi", "malformed"),
        (b"hi\n\nhi", "malformed"),
        (b" From: a@b\n\nhi", "malformed"),
        (b"From a@b Mon Jan 1\nFrom: a@b\n\nhi", "malformed"),
        (b"Fr om: a@b\n\nhi", "malformed"),
        (b": a@b\n\nhi", "malformed"),
        ("From: ü@b\n\nhi".encode(), "not ASCII"),
        (b"From: a@b\nSubject: a\0b\n\nhi", "malformed"),
        (b"From: a@b\nSubject: a\x0bb\n\nhi", "malformed"),
        (b"From: a@b\r\nSubject: a\nBcc: x@y\r\n\r\nhi", "bare LF"),
        (b"From: a@b\r\nSubject: a\rBcc: x@y\r\n\r\nhi", "bare CR"),
        (b"From: a@b\nSubject: a\rBcc: x@y\n\nhi", "bare CR"),
        (b"From: a@b\nSubject: a\r\nBcc: x@y\n\nhi", "bare CR"),
        (b"From: a@b\r\nSubject: a\n\nevil\r\n\r\nhi", "bare LF"),
        (b"From: a@b\nSubject: =?utf-8?q?=0A?=\n\nhi", "control characters"),
        (b"From: a@b\nSubject: =?utf-8?q?a?=\n =?utf-8?q?=0D?=\n\nhi", "control characters"),
        (b"From: a@b\nX: " + b"a" * 996 + b"\n\nhi", "longer than 998"),
        (b"From: a@b\n\n" + b"a" * 999, "longer than 998"),
        (b"From: a@b\n\n\0", "NUL"),
        (b"To: a@b\n\nhi", "no From"),
        (b"From: a@b\nfrom: c@d\n\nhi", "more than one From"),
        (b"From: a@b\nSubject: a\nSUBJECT: b\n\nhi", "more than one Subject"),
        (b"From: a@b\nMessage-ID: <a@b>\nMessage-Id: <c@d>\n\nhi", "more than one Message-Id"),
        (b"From: a@b\nMessage-ID: \n\nhi", "empty Message-Id"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        raw.clean(data)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    st.lists(st.sampled_from([b"From: a@b", b"Bcc: x@y", b"\r\n", b"\n", b"\r", b" ", b"a", b"X:"]))
)
def test_any_bytes_are_cleaned_once_and_for_all_or_refused(pieces: list[bytes]) -> None:
    data = b"From: z@z\n" + b"".join(pieces)
    try:
        cleaned = raw.clean(data)
    except ValueError:
        return
    assert_wire_safe(cleaned)
    assert raw.clean(cleaned) == cleaned
    assert parse(cleaned)["Bcc"] is None
