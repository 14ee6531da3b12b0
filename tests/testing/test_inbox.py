"""Message data is found wherever the network cuts it."""

from __future__ import annotations

import pytest

from asyncmail.testing.faultsmtp.inbox import Inbox

FIRST = b"Subject: one\r\n\r\n..\r\nlong enough to have been scanned\r\n"
SECOND = b"two\r\n"
WIRE = FIRST + b".\r\n" + SECOND + b".\r\nNOOP\r\n"


@pytest.mark.parametrize("cut", range(len(WIRE) + 1))
def test_a_cut_at_any_byte_changes_nothing(cut: int) -> None:
    inbox, bodies = Inbox(), []
    for part in (WIRE[:cut], WIRE[cut:]):
        inbox.add(part)
        while len(bodies) < 2 and (body := inbox.take_body()) is not None:
            bodies.append(body)
    assert bodies == [FIRST, SECOND]
    assert inbox.take_line() == b"NOOP\r\n"
    assert len(inbox) == 0


def test_an_empty_message_is_a_dot_alone() -> None:
    inbox = Inbox()
    inbox.add(b".\r\n")
    assert inbox.take_body() == b""


@pytest.mark.parametrize("data", [b"", b"NOOP", b"x\r\n.\r", b"x\n.\n", b"x\r\n.\n"])
def test_what_is_not_complete_stays(data: bytes) -> None:
    inbox = Inbox()
    inbox.add(data)
    assert inbox.take_body() is None
    assert len(inbox) == len(data)
