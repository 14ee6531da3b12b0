"""Replies are read the same however the bytes come in, and what is none is refused."""

from __future__ import annotations

import pytest

from asyncmail.smtp.replies import MAX_LINE, MAX_LINES, MalformedReply, Reply, ReplyParser

STREAM = (
    b"220 ready\r\n250-2.1.0 one\r\n250-2.1.0 two\r\n250 2.1.0 three\r\n354\r\n550 5.1.1 no\r\n"
)
CODES = [220, 250, 354, 550]


def read(*pieces: bytes) -> list[Reply]:
    parser = ReplyParser()
    return [reply for piece in pieces for reply in parser.feed(piece)]


@pytest.mark.parametrize("offset", range(len(STREAM)))
def test_a_stream_split_anywhere_gives_the_same_replies(offset: int) -> None:
    assert read(STREAM[:offset], STREAM[offset:]) == read(STREAM)
    assert [reply.code for reply in read(STREAM)] == CODES


def test_a_stream_of_single_bytes_gives_the_same_replies() -> None:
    assert read(*(bytes((byte,)) for byte in STREAM)) == read(STREAM)


def test_lines_joined_codes_taken_off() -> None:
    (reply,) = read(b"550-5.7.1 first\r\n550-5.7.1 second\r\n550 third\r\n")
    assert reply.read() == ("5.7.1", "first second third")
    assert str(reply) == "550 5.7.1 first second third"


@pytest.mark.parametrize("line", [b"250\r\n", b"250 \r\n", b"250\n", b"250 ok\n"])
def test_sloppy_but_clear_replies_are_taken(line: bytes) -> None:
    assert [reply.code for reply in read(line)] == [250]


@pytest.mark.parametrize(
    "line",
    [
        b"ok\r\n",
        b"99 no\r\n",
        b"2500 no\r\n",
        b"600 no\r\n",
        b"\x00\xff\x80\r\n",
        b"\r\n",
        b"250\tx\r\n",
        b"250-a\r\n550 b\r\n",
        b"-250 x\r\n",
        b" 250 x\r\n",
    ],
)
def test_what_is_no_reply_is_refused(line: bytes) -> None:
    with pytest.raises(MalformedReply):
        read(line)


def test_replies_before_the_malformed_one_still_count() -> None:
    parser = ReplyParser()
    feed = parser.feed(b"250 ok\r\ngarbage\r\n")
    assert next(feed).code == 250
    with pytest.raises(MalformedReply):
        next(feed)


def test_a_line_without_end_is_given_up_early() -> None:
    with pytest.raises(MalformedReply, match="4096 bytes"):
        read(*[b"250 " + b"x" * 1000] * 1000)
    with pytest.raises(MalformedReply, match="4096 bytes"):
        read(b"250 " + b"x" * MAX_LINE + b"\r\n")


def test_a_reply_without_end_is_given_up_early() -> None:
    with pytest.raises(MalformedReply, match="100 lines"):
        read(b"250-x\r\n" * (MAX_LINES + 1))


def test_an_enhanced_code_of_another_class_is_text() -> None:
    (reply,) = read(b"250 5.0.0 is our version\r\n")
    assert reply.read() == (None, "5.0.0 is our version")


def test_text_is_printable_and_short() -> None:
    (reply,) = read(b"550 \xff\x1b[31m caf\xc3\xa9 \rx" + b"y" * 2000 + b"\r\n")
    _, text = reply.read()
    assert text.isprintable()
    assert len(text) == 500
    assert "café" in text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("450 4.7.1 Greylisted, try again in 300 seconds", 300),
        ("451 retry after 5 min", 300),
        ("421 busy; please try again after 2 hours", 7200),
        ("450 try again in 60", 60),
        ("450 try again in 999999 h", 86400),
        ("450 try again later", None),
        ("250 try again in 300 seconds", None),
    ],
)
def test_a_wish_to_wait_is_understood(text: str, seconds: float | None) -> None:
    (reply,) = read(text.encode() + b"\r\n")
    assert reply.wish == seconds
