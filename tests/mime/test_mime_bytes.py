"""The bytes themselves: a whole message to look at, encodings, boundaries, sameness."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from mime_samples import CONTENTS, assert_wire_safe, built, file, message, normalised, parse

from asyncmail.mime import build
from asyncmail.model import Address, Attachment

GOLDEN = """\
Date: Sun, 15 Jun 2025 15:06:40 +0000
Message-ID: <m1@example.org>
From: "Shop, Inc." <shop@example.org>
To: =?utf-8?b?SsO2cmc=?= <jo@example.net>, ann@example.net, Bob Longname
 <bob.with.a.rather.long.name@department.example.net>
Reply-To: help@example.org
Subject: Your order =?utf-8?b?Y2Fmw6kg4oSWMQ==?= of today
X-Shop: 7
MIME-Version: 1.0
Content-Type: multipart/mixed;
 boundary="=_a7c9_mix"

--=_a7c9_mix
Content-Type: multipart/alternative;
 boundary="=_a7c9_alt"

--=_a7c9_alt
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 7bit

Hello,
.
it is on its way.

--=_a7c9_alt
Content-Type: multipart/related; type="text/html";
 boundary="=_a7c9_rel"

--=_a7c9_rel
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

<p>It is on its way to the caf=C3=A9.</p> <img src=3D"cid:logo" alt=3D"Shop=
, Inc.">

--=_a7c9_rel
Content-Type: image/png
Content-Transfer-Encoding: base64
Content-Disposition: inline;
 filename="logo.png"
Content-ID: <logo>

iVBORw==

--=_a7c9_rel--

--=_a7c9_alt--

--=_a7c9_mix
Content-Type: application/pdf
Content-Transfer-Encoding: base64
Content-Disposition: attachment;
 filename*=utf-8''%C3%9Cbersicht%20M%C3%A4rz.pdf;
 filename="Ubersicht Marz.pdf"

JVBERi0xLjQ=

--=_a7c9_mix--
"""


def test_a_whole_message() -> None:
    sample = message(
        sender=Address("Shop, Inc.", "shop@example.org"),
        to=(
            Address("Jörg", "jo@example.net"),
            Address("", "ann@example.net"),
            Address("Bob Longname", "bob.with.a.rather.long.name@department.example.net"),
        ),
        bcc=(Address("", "hidden@example.net"),),
        reply_to=(Address("", "help@example.org"),),
        subject="Your order café №1 of today",
        text="Hello,\n.\nit is on its way.",
        html='<p>It is on its way to the café.</p> <img src="cid:logo" alt="Shop, Inc.">',
        headers=(("X-Shop", "7"),),
        attachments=(file("logo.png", content_id="logo"), file("Übersicht März.pdf")),
    )
    data, _ = built(sample, [Attachment(b"\x89PNG"), Attachment(b"%PDF-1.4")])
    shown = re.sub(r"=_[0-9a-f]{32}", "=_a7c9", data.decode("ascii")).replace("\r\n", "\n")
    assert shown == GOLDEN


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("", "7bit"),
        ("hello\r\nworld", "7bit"),
        (".\n..\nFrom x\n", "7bit"),
        ("a" * 998, "7bit"),
        ("a" * 999, "quoted-printable"),
        ("a" * 1_000_000, "quoted-printable"),
        ("mostly ASCII, with one é", "quoted-printable"),
        ("日本語のテキスト", "base64"),
        ("NUL \0 inside", "base64"),
    ],
)
def test_a_text_takes_the_plainest_encoding_that_is_safe(text: str, encoding: str) -> None:
    data, parsed = built(message(text=text))
    assert parsed["Content-Transfer-Encoding"] == encoding
    if encoding != "7bit":
        assert max(map(len, data.split(b"\r\n"))) <= 76


@settings(max_examples=120, derandomize=True, deadline=None)
@given(CONTENTS)
def test_encoded_lines_have_at_most_76_octets(text: str) -> None:
    data, parsed = built(message(text="é\n" + text))
    assert parsed["Content-Transfer-Encoding"] in ("quoted-printable", "base64")
    assert max(map(len, data.split(b"\r\n"))) <= 76


def test_a_text_that_knows_the_boundary_cannot_end_its_part() -> None:
    sample = message(html="<p>x</p>")
    found = re.search(rb'boundary="(.*)"', build(sample, []))
    assert found is not None
    boundary = found[1].decode()
    evil = f"x\n--{boundary}\nContent-Type: text/html\n\nevil\n--{boundary}--\n"
    data, parsed = built(replace(sample, text=evil))
    assert data.count(f"--{boundary}".encode()) == 3
    first, second = [str(part.get_content()) for part in parsed.iter_parts()]
    assert normalised(first) == evil
    assert normalised(second) == "<p>x</p>\n"


def test_the_same_message_is_the_same_bytes_and_another_has_other_boundaries() -> None:
    sample = message(html="<p>é</p>", attachments=(file(),))
    contents = [Attachment(b"x" * 1000)]
    once = build(sample, contents)
    assert build(replace(sample), list(contents)) == once
    others = (
        replace(sample, id="M2"),
        replace(sample, generation=2),
        replace(sample, tenant_id="t"),
    )
    found = {re.findall(rb"=_[0-9a-f]{32}", build(m, contents))[0] for m in (sample, *others)}
    assert len(found) == 4


def test_500_long_recipients_are_folded() -> None:
    everyone = tuple(Address("Jörg Ä" * 40, f"{'x' * 60}{n:03}@example.org") for n in range(500))
    data = build(message(to=everyone), [])
    assert_wire_safe(data)
    assert len(parse(data)["Subject"]) == len("Your order")
    assert data.count(b" <" + b"x" * 60) == 500


@pytest.mark.parametrize(
    "subject", ["é" * 2000, "a" * 2000, "a b " * 500, "  " * 1000, "😀" * 2000]
)
def test_the_longest_subjects_are_folded(subject: str) -> None:
    _, parsed = built(message(subject=subject))
    assert parsed["Subject"] == subject


def test_the_longest_filename_is_cut_into_sections() -> None:
    data, parsed = built(message(attachments=(file("日" * 251 + ".txt"),)), [Attachment(b"")])
    assert b" filename*0*=utf-8''%E6" in data
    assert b' filename=".txt"' not in data
    assert next(parsed.iter_attachments()).get_filename() == "日" * 251 + ".txt"
    assert max(len(line) for line in data.split(b"\r\n")) <= 78
