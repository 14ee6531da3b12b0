"""Bytes on the wire: nothing ends a line or a message but what should."""

from __future__ import annotations

import pytest
from helpers import envelope
from hypothesis import given
from hypothesis import strategies as st

from asyncmail.mime.lines import content_refusal
from asyncmail.smtp import wire

LINES = st.lists(st.sampled_from([b"", b".", b"..", b".x", b"x.", b"x", b"\r.", b"."]), max_size=8)


def undo(body: bytes) -> bytes:
    """What a server makes of it (RFC 5321 4.5.2), and that it ends only at the end."""
    lines = body.split(b"\r\n")
    assert lines.index(b".") == len(lines) - 2
    assert lines[-1] == b""
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:-2])


@given(LINES)
def test_dots_survive_at_every_position(lines: list[bytes]) -> None:
    data = b"".join(line.replace(b"\r", b"r") + b"\r\n" for line in lines)
    assert undo(wire.dotted(data)) == data


@pytest.mark.parametrize("position", range(7))
def test_a_dot_at_each_place_of_a_text_survives(position: int) -> None:
    text = b"a\r\nb\r\n"
    data = text[:position] + b"." + text[position:]
    if content_refusal(data):
        return  # the dot has come between CR and LF
    assert undo(wire.dotted(data)) in (data, data + b"\r\n")


def test_a_missing_last_line_end_is_added() -> None:
    assert wire.dotted(b"x") == b"x\r\n.\r\n"
    assert wire.dotted(b"") == b".\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"a\nb\r\n",
        b"a\rb\r\n",
        b"a\r\r\n",
        b"\n.\n",
        b"a\r\n.\r",
        b"\n",
        b"x\r\n.\n",
        b"\r\n\r.\r\n",
    ],
)
def test_bare_cr_or_lf_is_refused(data: bytes) -> None:
    assert "bare CR or LF" in (content_refusal(data) or "")


def test_a_line_of_998_octets_is_the_longest() -> None:
    short = b"x" * 76 + b"\r\n"
    for before in (b"", short, short * 30):
        for after in (b"", b"\r\n", short * 30):
            good = before + b"y" * 998 + (b"\r\n" + after if after else b"")
            bad = before + b"y" * 999 + (b"\r\n" + after if after else b"")
            assert content_refusal(good) is None
            assert "998" in (content_refusal(bad) or "")


@pytest.mark.parametrize(
    "address",
    [
        "a@b> SIZE=1",
        "a@b\r\nRCPT TO:<x@y",
        "a@b\n",
        "a\x00@b",
        "a b@c",
        "a",
        '"a"b@c',
        "<a@b",
        '"a\r\n"@b',
    ],
)
def test_an_address_that_would_end_its_command_is_refused(address: str) -> None:
    assert not wire.is_mailbox(address)
    assert "no mailbox" in (wire.refusal(envelope(sender=address)) or "")


@pytest.mark.parametrize(
    "address", ['"a b> x"@c.de', '"a\\"b"@c.de', "ü@bücher.de", "a+b=c@[192.0.2.1]"]
)
def test_unusual_mailboxes_pass(address: str) -> None:
    assert wire.is_mailbox(address)


def test_the_null_reverse_path_is_a_sender_but_no_recipient() -> None:
    assert wire.refusal(envelope(sender="")) is None
    assert not wire.is_mailbox("")
