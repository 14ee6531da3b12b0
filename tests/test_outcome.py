"""The outcome table, row by row."""

from __future__ import annotations

import pytest

from asyncmail.model import Delivery, Disposition, RecipientOutcome
from asyncmail.outcome import (
    Decision,
    History,
    Next,
    Phase,
    Policy,
    classify,
    clean,
    decide,
    decide_over_limit,
    decide_rescued,
    decide_unexpected,
)

POLICY = Policy(retry_delays=(60, 300), max_attempts=3, max_age=1000, max_uncertain=2, jitter=0)
NEW = History(created_ts=0)
BEFORE_MAIL = [Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.STARTTLS, Phase.AUTH]


def decided(delivery: Delivery, history: History = NEW, recipients: str = "a@x") -> Decision:
    return decide(history, recipients.split(), delivery, POLICY, now=10)


def of(*outcomes: tuple[str, Disposition, int, str]) -> Delivery:
    return Delivery(
        tuple(RecipientOutcome(who, what, code, None, text) for who, what, code, text in outcomes)
    )


# --- left half ---


@pytest.mark.parametrize("phase", BEFORE_MAIL)
@pytest.mark.parametrize("code", [None, 421, 454, 535, 550])
def test_what_fails_before_mail_is_the_accounts_problem_and_costs_the_message_nothing(
    phase: Phase, code: int | None
) -> None:
    verdict = classify(phase, code)
    assert verdict.disposition is Disposition.TEMPORARY
    assert verdict.account_problem
    assert not verdict.charged


@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.RCPT, Phase.DATA])
@pytest.mark.parametrize(
    ("code", "disposition"),
    [
        (None, Disposition.TEMPORARY),
        (421, Disposition.TEMPORARY),
        (451, Disposition.TEMPORARY),
        (550, Disposition.PERMANENT),
    ],
)
def test_before_the_dot_only_a_5yz_is_final(
    phase: Phase, code: int | None, disposition: Disposition
) -> None:
    verdict = classify(phase, code)
    assert verdict.disposition is disposition
    assert verdict.charged
    assert not verdict.account_problem


@pytest.mark.parametrize(
    ("code", "disposition"),
    [
        (250, Disposition.ACCEPTED),
        (251, Disposition.ACCEPTED),
        (421, Disposition.TEMPORARY),
        (451, Disposition.TEMPORARY),
        (554, Disposition.PERMANENT),
        (150, Disposition.UNCERTAIN),
        (354, Disposition.UNCERTAIN),
        (None, Disposition.UNCERTAIN),
    ],
)
def test_after_the_dot_silence_and_nonsense_are_uncertain(
    code: int | None, disposition: Disposition
) -> None:
    assert classify(Phase.DOT, code).disposition is disposition


@pytest.mark.parametrize("code", [452, 552])
def test_too_many_recipients_leaves_the_rest_for_another_transaction(code: int) -> None:
    verdict = classify(Phase.RCPT, code)
    assert verdict.disposition is Disposition.UNTRIED
    assert not verdict.charged


def test_a_421_on_a_reused_connection_is_not_charged() -> None:
    assert not classify(Phase.MAIL, 421, reused=True).charged
    assert classify(Phase.MAIL, 421, reused=False).charged


# --- right half ---


def test_all_accepted_is_sent() -> None:
    decision = decided(of(("a@x", Disposition.ACCEPTED, 250, "ok")))
    assert decision.next is Next.SENT
    assert decision.error is None


def test_a_refusal_of_all_is_an_error_that_carries_the_reply() -> None:
    decision = decided(of(("a@x", Disposition.PERMANENT, 550, "no such user")))
    assert decision.next is Next.ERROR
    assert decision.error == "550 no such user"


def test_some_refused_is_reported_as_partial_with_names() -> None:
    decision = decided(
        of(
            ("a@x", Disposition.ACCEPTED, 250, "ok"),
            ("b@x", Disposition.PERMANENT, 550, "no such user"),
            ("c@x", Disposition.ACCEPTED, 250, "ok"),
        ),
        recipients="a@x b@x c@x",
    )
    assert decision.next is Next.ERROR
    assert decision.error == "partial: delivered to 2 of 3; b@x: 550 no such user"


def test_only_the_temporarily_refused_recipients_are_left_to_retry() -> None:
    decision = decided(
        of(("a@x", Disposition.ACCEPTED, 250, "ok"), ("b@x", Disposition.TEMPORARY, 451, "later")),
        recipients="a@x b@x",
    )
    assert decision.next is Next.RETRY
    assert decision.delay == 60
    assert list(decision.settled) == ["a@x"]
    assert decision.error == "b@x: 451 later"


def test_the_last_delay_repeats_and_a_servers_wish_is_never_undercut() -> None:
    temporary = Delivery.of_all(["a@x"], Disposition.TEMPORARY, "later", retry_after=900)
    assert decided(temporary).delay == 900
    again = Delivery.of_all(["a@x"], Disposition.TEMPORARY, "later")
    assert decided(again, History(created_ts=0, attempts=1)).delay == 300
    patient = Policy(retry_delays=(60, 300), max_attempts=99, jitter=0)
    late = decide(History(created_ts=0, attempts=50), ["a@x"], again, patient, now=10)
    assert late.delay == 300


def test_jitter_only_lengthens() -> None:
    temporary = Delivery.of_all(["a@x"], Disposition.TEMPORARY, "later")
    decision = decide(NEW, ["a@x"], temporary, Policy(), now=10, spread=lambda: 1.0)
    assert decision.delay == pytest.approx(66)


def test_attempts_are_finite() -> None:
    temporary = Delivery.of_all(["a@x"], Disposition.TEMPORARY, "later", code=451)
    decision = decided(temporary, History(created_ts=0, attempts=2))
    assert decision.next is Next.ERROR
    assert decision.error == "given up after 3 attempts: 451 later"


def test_age_ends_what_costs_no_attempts() -> None:
    problem = Delivery.of_all(
        ["a@x"], Disposition.TEMPORARY, "refused", account_problem=True, charged=False
    )
    waiting = decided(problem)
    assert waiting.next is Next.AGAIN
    assert waiting.attempts == 0
    old = decide(History(created_ts=0), ["a@x"], problem, POLICY, now=1000)
    assert old.next is Next.ERROR


def test_an_uncharged_failure_does_not_become_a_busy_loop() -> None:
    free = Delivery.of_all(["a@x"], Disposition.TEMPORARY, "closing", charged=False)
    decision = decided(free)
    assert decision.next is Next.RETRY
    assert decision.delay >= 1
    assert decision.attempts == 0


def test_uncertain_outcomes_are_retried_within_their_budget_and_then_named() -> None:
    unsure = Delivery.of_all(["a@x"], Disposition.UNCERTAIN, "connection lost")
    for before, expected in ((0, Next.RETRY), (1, Next.RETRY), (2, Next.ERROR)):
        decision = decided(unsure, History(created_ts=0, uncertain=before))
        assert decision.next is expected
        assert decision.uncertain == before + 1
        assert "uncertain" in (decision.error or "")


def test_under_hold_an_uncertain_message_is_never_sent_again() -> None:
    unsure = Delivery.of_all(["a@x"], Disposition.UNCERTAIN, "connection lost")
    decision = decided(unsure, History(created_ts=0, hold=True))
    assert decision.next is Next.ERROR
    assert decision.error == "delivery uncertain: connection lost"


def test_untried_recipients_go_on_at_once_and_free_of_charge() -> None:
    decision = decided(
        of(("a@x", Disposition.ACCEPTED, 250, "ok"), ("b@x", Disposition.UNTRIED, 452, "too many")),
        recipients="a@x b@x",
    )
    assert decision.next is Next.AGAIN
    assert decision.attempts == 0
    assert decision.error is None


def test_recipients_beyond_the_envelope_are_still_pending() -> None:
    decision = decided(of(("a@x", Disposition.ACCEPTED, 250, "ok")), recipients="a@x b@x")
    assert decision.next is Next.AGAIN


def test_a_rescued_claim_is_uncertain_under_retry_and_the_fifth_is_the_last() -> None:
    decision = decide_rescued(NEW, ["a@x"], dot_may_have_left=False)
    assert decision.next is Next.AGAIN
    assert decision.was_uncertain
    assert decision.uncertain == 0, "a rescue does not use up the budget of uncertain retries"
    last = decide_rescued(History(created_ts=0, rescues=4), ["a@x"], dot_may_have_left=False)
    assert last.next is Next.ERROR
    assert "uncertain" in (last.error or "")


def test_a_rescued_claim_under_hold_is_held_only_if_its_dot_may_have_left() -> None:
    held = History(created_ts=0, hold=True)
    assert decide_rescued(held, ["a@x"], dot_may_have_left=True).next is Next.ERROR
    free = decide_rescued(held, ["a@x"], dot_may_have_left=False)
    assert free.next is Next.AGAIN
    assert not free.was_uncertain


def test_a_poison_message_is_given_up_after_its_third_unexpected_failure() -> None:
    decision = decide_unexpected(NEW, ["a@x"], "KeyError: 'x'", POLICY)
    assert decision.next is Next.RETRY
    last = decide_unexpected(
        History(created_ts=0, unexpected=2), ["a@x"], "KeyError: 'x'", Policy()
    )
    assert last.next is Next.ERROR
    assert last.error == "unexpected failure: KeyError: 'x'"


def test_over_the_limit_waits_or_fails_as_the_account_says() -> None:
    assert decide_over_limit(NEW, ["a@x"], wait=30, error_over=False).delay == 30
    failed = decide_over_limit(NEW, ["a@x"], wait=30, error_over=True)
    assert failed.error == "rate limit exceeded"


def test_words_of_a_peer_are_cleaned_and_cut() -> None:
    assert clean("bad\r\n\x1b[31m") == "bad\\r\\n\\x1b[31m"
    assert len(clean("x" * 2000)) == 500
