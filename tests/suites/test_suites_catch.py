"""Every kind with every fault fails its suite, and the failure says what the author must change."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from bad_plugins import Case, bad_suites, class_of, run_suites

from asyncmail.testing.faults import Fault, Moment

BEFORE, DOT, AFTER = Moment.BEFORE, Moment.DOT, Moment.AFTER

# suite: for each fault and moment the test that has to notice, and words of its failure
NO_ANSWER = "no answer within 0.5 s: bound every wait with asyncio.timeout()"
STUBBORN = "goes on after its cancellation: let CancelledError through"
EXITS = "nothing in a plugin may end the process"
CANCELS = "cancelled itself: cancellation is the service's"
BLOCKS = "held up the event loop for more than 0.5 s"

Expected = list[tuple[Fault, Moment, str, str]]


def common(test: str, raises: str, *more: tuple[Fault, Moment, str, str]) -> Expected:
    """What any awaited method can do wrong; ``test`` calls it, ``raises`` is the kind's own advice."""
    return [
        (Fault.RAISES, BEFORE, test, raises),
        (Fault.RAISES, AFTER, test, raises),
        (Fault.HANGS, BEFORE, test, NO_ANSWER),
        (Fault.SWALLOWS_CANCELLATION, BEFORE, test, STUBBORN),
        (Fault.EXITS, BEFORE, test, EXITS),
        (Fault.CANCELS_ITSELF, BEFORE, test, CANCELS),
        (Fault.BLOCKS, BEFORE, test, BLOCKS),
        *more,
    ]


FETCHED = "test_the_content_is_fetched"
ACCEPTED = "test_a_message_is_accepted_whole_and_once"
RELEASED = "test_only_what_was_asked_about_is_released"
DELIVERED = "test_what_the_receiver_confirmed_is_acknowledged"
DECIDED = "test_the_cutoff_is_a_plain_decision"
OUTCOMES = "failures are outcomes too: return Delivery.of_all(...)"

EXPECTED: dict[str, Expected] = {
    "GoodValidator": common(
        "test_it_accepts",
        "raise Rejected(reason) to refuse",
        (Fault.CLAIMS_SUCCESS, BEFORE, "test_it_rejects_with_a_reason", "raise Rejected(reason)"),
        (Fault.RETURNS_NONE, BEFORE, "test_it_rejects_with_a_reason", "raise Rejected(reason)"),
        (Fault.ANSWERS_FOR_OTHERS, BEFORE, "test_it_accepts", "return None, or a list of warnings"),
    ),
    "GoodFilter": common(
        "test_message_and_account_are_not_touched",
        "return bytes for every message",
        (
            Fault.CLAIMS_SUCCESS,
            BEFORE,
            "test_the_bytes_are_the_same_on_every_attempt",
            "take times from message.created_ts, and no random values",
        ),
        (
            Fault.ANSWERS_FOR_OTHERS,
            BEFORE,
            "test_the_message_can_still_be_read",
            "changed From, To, Subject, Message-ID, Date: leave what readers see",
        ),
        (
            Fault.RETURNS_NONE,
            BEFORE,
            "test_message_and_account_are_not_touched",
            "returned NoneType: return the bytes to send",
        ),
    ),
    "GoodAttachmentSource": common(
        FETCHED,
        "raise AttachmentError(text, permanent=...)",
        (Fault.CLAIMS_SUCCESS, BEFORE, FETCHED, "returned other content"),
        (Fault.ANSWERS_FOR_OTHERS, BEFORE, FETCHED, "returned other content"),
        (Fault.RETURNS_NONE, BEFORE, FETCHED, "return Attachment(content) with bytes"),
        (
            Fault.CLAIMS_SUCCESS,
            BEFORE,
            "test_what_is_missing_is_an_attachment_error",
            "raise AttachmentError",
        ),
    ),
    "GoodTransport": common(
        ACCEPTED,
        OUTCOMES,
        (Fault.RAISES, DOT, ACCEPTED, OUTCOMES),
        (Fault.HANGS, DOT, ACCEPTED, NO_ANSWER),
        (Fault.CLAIMS_SUCCESS, BEFORE, ACCEPTED, "say accepted only when the peer has confirmed"),
        (
            Fault.CLAIMS_SUCCESS,
            BEFORE,
            "test_the_attempt_is_announced_in_order",
            "await attempt.before_dot() once right before the bytes that hand it over",
        ),
        (
            Fault.CLAIMS_SUCCESS,
            AFTER,
            "test_a_drop_after_the_dot_is_uncertain",
            "says accepted where uncertain is due",
        ),
        (
            Fault.CLAIMS_SUCCESS,
            AFTER,
            "test_an_attempt_revoked_at_the_dot_hands_nothing_over",
            "although attempt.before_dot() raised AttemptRevoked: let it through",
        ),
        (Fault.ANSWERS_FOR_OTHERS, AFTER, ACCEPTED, "exactly one outcome for each recipient"),
        (Fault.RETURNS_NONE, AFTER, ACCEPTED, "return a Delivery with an outcome per recipient"),
        (
            Fault.SWALLOWS_CANCELLATION,
            BEFORE,
            "test_a_silent_peer_is_waited_for_and_a_cancelled_call_ends",
            STUBBORN,
        ),
    ),
    "GoodSink": common(
        DELIVERED,
        "raise SinkUnavailable(why)",
        (Fault.CLAIMS_SUCCESS, BEFORE, DELIVERED, "acknowledge only what has arrived"),
        (
            Fault.CLAIMS_SUCCESS,
            BEFORE,
            "test_what_is_refused_is_not_acknowledged",
            "although the receiver refused the list: raise SinkUnavailable(why)",
        ),
        (Fault.ANSWERS_FOR_OTHERS, AFTER, DELIVERED, "only ids of `reports`"),
        (Fault.RETURNS_NONE, AFTER, DELIVERED, "returned NoneType: return an Ack"),
        (
            Fault.SWALLOWS_CANCELLATION,
            BEFORE,
            "test_a_silent_receiver_is_waited_for_and_a_cancelled_call_ends",
            STUBBORN,
        ),
    ),
    "GoodRetention": [
        (Fault.RAISES, BEFORE, DECIDED, "return None to abstain"),
        (Fault.EXITS, BEFORE, DECIDED, "return None to abstain"),
        (Fault.CANCELS_ITSELF, BEFORE, DECIDED, "return None to abstain"),
        (Fault.CLAIMS_SUCCESS, BEFORE, DECIDED, "a time in the past"),
        (Fault.ANSWERS_FOR_OTHERS, BEFORE, DECIDED, "a plain function that returns a time"),
        (Fault.RAISES, AFTER, RELEASED, "return the ids that are safe"),
        (Fault.HANGS, AFTER, RELEASED, NO_ANSWER),
        (Fault.SWALLOWS_CANCELLATION, AFTER, RELEASED, STUBBORN),
        (Fault.EXITS, AFTER, RELEASED, EXITS),
        (Fault.CANCELS_ITSELF, AFTER, RELEASED, CANCELS),
        (Fault.BLOCKS, AFTER, RELEASED, BLOCKS),
        (Fault.ANSWERS_FOR_OTHERS, AFTER, RELEASED, "return ids of `records` only"),
        (Fault.RETURNS_NONE, AFTER, RELEASED, "returned NoneType: return the ids that may go"),
        (
            Fault.CLAIMS_SUCCESS,
            AFTER,
            "test_nothing_is_released_while_its_destination_fails",
            "return only ids whose records are durable elsewhere",
        ),
    ],
    "GoodObserver": common(
        "test_every_kind_of_event_is_taken",
        "take every kind of event",
        (
            Fault.CLAIMS_SUCCESS,
            BEFORE,
            "test_a_burst_is_taken_in_time_and_in_order",
            "took note of 0 of 200 events",
        ),
        (
            Fault.ANSWERS_FOR_OTHERS,
            AFTER,
            "test_every_kind_of_event_is_taken",
            "an observer has no say, return nothing",
        ),
    ),
}

CASES: list[tuple[Case, str]] = [
    ((suite, fault, at, test), words)
    for suite, expected in EXPECTED.items()
    for fault, at, test, words in expected
]
Found = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What the failures of all cases say, by suite; one run per suite, when it is first asked for."""
    folder = tmp_path_factory.mktemp("bad")

    class Runs(defaultdict[str, dict[str, str]]):
        def __missing__(self, suite: str) -> dict[str, str]:
            cases = [case for case, _ in CASES if case[0] == suite]
            here = folder / suite
            here.mkdir()
            chosen = [f"{class_of(fault, at)}::{test}" for _, fault, at, test in cases]
            self[suite] = run_suites(here, bad_suites(suite, cases), *chosen)
            return self[suite]

    return Runs()


@pytest.mark.parametrize(
    ("case", "words"), CASES, ids=[f"{s}-{f}-{at}-{test}" for (s, f, at, test), _ in CASES]
)
def test_a_bad_plugin_is_told_what_to_change(case: Case, words: str, found: Found) -> None:
    suite, fault, at, test = case
    said = found[suite][f"{class_of(fault, at)}::{test}"]
    assert words in said


@pytest.mark.parametrize("suite", EXPECTED)
def test_the_same_plugin_without_the_fault_passes(suite: str, tmp_path: Path) -> None:
    cannot = ""
    if suite == "GoodAttachmentSource":
        cannot = "cannot = {'test_nothing_outside_of_what_is_allowed_is_reached': 'inline'}"
    source = f"class TestGood({suite}):\n    offer = good({suite})\n    {cannot}\n"
    said = run_suites(tmp_path, source)
    assert len(said) > 6
    assert {name: words for name, words in said.items() if words and words != "(skipped)"} == {}


def test_every_fault_is_tried_with_every_kind_that_can_have_it() -> None:
    tried = {suite: {fault for fault, *_ in expected} for suite, expected in EXPECTED.items()}
    proper = {"GoodObserver": {Fault.RETURNS_NONE}}  # what an observer is to return
    for suite, faults in tried.items():
        assert faults | proper.get(suite, set()) == set(Fault), suite
