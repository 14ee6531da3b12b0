"""The grammar of FaultSMTP's scripts."""

from __future__ import annotations

import pytest

from asyncmail.testing.faultsmtp.script import (
    Kind,
    ScriptError,
    Step,
    clauses_of_address,
    parse_clauses,
)


def test_a_verb_begins_a_new_clause() -> None:
    clauses = parse_clauses("dot.550.rset.hang")
    assert clauses["dot"].steps == (Step(Kind.REPLY, codes=(550,)),)
    assert clauses["rset"].steps == (Step(Kind.HANG),)


def test_marks_belong_to_their_clause() -> None:
    clauses = parse_clauses("rcpt.451.once.dot.accept.drop%20~3")
    assert (clauses["rcpt"].times, clauses["rcpt"].percent) == (1, 100)
    assert (clauses["dot"].times, clauses["dot"].percent) == (3, 20)


def test_times_are_milliseconds_and_replies_may_come_in_pairs() -> None:
    clauses = parse_clauses("mail.sleep250.drip5.451.data.354+250")
    assert [step.seconds for step in clauses["mail"].steps] == [0.25, 0.005, 0.0]
    assert clauses["data"].steps[0].codes == (354, 250)


def test_raw_bytes_are_hexadecimal_or_named() -> None:
    clauses = parse_clauses("mail.raw4869.rcpt.raw-own", {"own": b"x"})
    assert clauses["mail"].steps[0].data == b"Hi"
    assert clauses["rcpt"].steps[0].data == b"x"


@pytest.mark.parametrize("address", ["bob@x.test", "bob+news@x.test", "bob+2024.dot@x.test", ""])
def test_ordinary_addresses_carry_no_script(address: str) -> None:
    assert clauses_of_address(address) == {}


@pytest.mark.parametrize(
    "script",
    [
        "dot.explode",
        "dot",
        "550",
        "dot.550.dot.250",
        "rcpt.accept",
        "mail.raw-nobody",
        "mail.rawzz",
        "rcpt.99",
        "rcpt.451%",
    ],
)
def test_what_is_not_understood_is_an_error(script: str) -> None:
    with pytest.raises(ScriptError):
        parse_clauses(script)
