"""A suite's promises cannot be dropped in silence, and what it needs from its author it asks for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bad_plugins import run_suites

from asyncmail.testing import TransportSuite, ValidatorSuite, overrides_suite


def test_a_promise_that_is_replaced_without_a_reason_fails_at_collection() -> None:
    with pytest.raises(TypeError, match=r"Mine\.test_it_accepts replaces a promise of its suite"):

        class Mine(ValidatorSuite):
            async def test_it_accepts(self) -> None:  # type: ignore[override]
                """Nothing is looked at."""


def test_a_promise_cannot_be_blanked_out() -> None:
    with pytest.raises(TypeError, match=re.escape('cannot = {"test_it_accepts": "the reason"}')):

        class Mine(ValidatorSuite):
            test_it_accepts = None  # type: ignore[assignment]


def test_a_promise_may_be_replaced_with_a_reason_and_tests_of_ones_own_added() -> None:
    class Mine(ValidatorSuite):
        @overrides_suite("this validator has no state")
        async def test_it_accepts(self) -> None:  # type: ignore[override]
            """Differently."""

        async def test_something_of_its_own(self) -> None:
            """Beside the promises."""

    assert Mine.cannot == {}


@pytest.mark.parametrize("reason", ["", "   ", None])
def test_a_reason_is_words(reason: object) -> None:
    with pytest.raises(TypeError, match="the reason in words"):
        overrides_suite(reason)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="needs the reason in words"):
        type("Mine", (ValidatorSuite,), {"cannot": {"test_it_accepts": reason}})


def test_what_a_suite_does_not_have_cannot_be_given_up() -> None:
    with pytest.raises(TypeError, match=r"cannot names 'test_teleport', which its suite does not"):
        type("Mine", (TransportSuite,), {"cannot": {"test_teleport": "no teleporter"}})


def test_what_the_peer_cannot_play_is_skipped_with_its_reason(tmp_path: Path) -> None:
    said = run_suites(
        tmp_path,
        """
        class TestMine(GoodValidator):
            offer = good(GoodValidator)
            cannot = {"test_it_accepts": "no messages here"}
        """,
        "TestMine::test_it_accepts",
        "TestMine::test_it_changes_nothing",
    )
    assert said == {
        "TestMine::test_it_accepts": "(skipped)",
        "TestMine::test_it_changes_nothing": "",
    }


def test_an_author_who_forgot_something_is_told_what(tmp_path: Path) -> None:
    said = run_suites(
        tmp_path,
        """
        class TestNameless(ValidatorSuite):
            pass

        class TestUninstalled(ValidatorSuite):
            offer = "nowhere"

        class TestUnfinished(ValidatorSuite):
            offer = "addresses"

        class TestMisconfigured(SinkSuite):
            offer = "genropy"
        """,
        "TestNameless::test_it_accepts",
        "TestUninstalled::test_it_accepts",
        "TestUnfinished::test_it_rejects_with_a_reason",
        "TestMisconfigured::test_what_it_declares_makes_sense",
    )
    assert 'offer = "the name"' in said["TestNameless::test_it_accepts"]
    uninstalled = said["TestUninstalled::test_it_accepts"]
    assert "no installed package offers a Validator named 'nowhere'" in uninstalled
    assert "there are: addresses" in uninstalled
    unfinished = said["TestUnfinished::test_it_rejects_with_a_reason"]
    assert "override the fixture `rejected`" in unfinished
    misconfigured = said["TestMisconfigured::test_what_it_declares_makes_sense"]
    assert "proxy_sync_url: Field required" in misconfigured


def test_what_is_left_behind_is_named(tmp_path: Path) -> None:
    said = run_suites(
        tmp_path,
        """
        import asyncio, socket, threading

        class Leaky(Validator):
            async def validate(self, message, account):
                self.task = asyncio.ensure_future(asyncio.sleep(3600))
                self.socket = socket.socket()
                self.thread = threading.Thread(target=threading.Event().wait, name="mine", daemon=True)
                self.thread.start()

        class Eager(Validator):
            def __init__(self):
                self.file = open("/dev/null")
                self.file_again = open("/dev/null")

            async def validate(self, message, account):
                return None

        class TestLeaky(ValidatorSuite):
            offer = Offer("leaky", lambda settings, context: Leaky())

        class TestEager(ValidatorSuite):
            offer = Offer("eager", lambda settings, context: Eager())
        """,
        "TestLeaky::test_nothing_is_left_after_stop",
        "TestEager::test_making_it_opens_nothing",
    )
    leaky = said["TestLeaky::test_nothing_is_left_after_stop"]
    assert all(words in leaky for words in ("task ", "sleep", "descriptor ", "thread 'mine'"))
    eager = said["TestEager::test_making_it_opens_nothing"]
    assert "(/dev/null)" in eager
    assert "belongs in start()" in eager


def test_a_secret_in_the_log_or_in_an_outcome_is_noticed(tmp_path: Path) -> None:
    said = run_suites(
        tmp_path,
        """
        import logging
        from asyncmail.model import Delivery, Disposition

        class Chatty(SmtpTransport):
            async def send(self, envelope, account, attempt):
                logging.getLogger("chatty").debug("login as %s with %s", account.user, account.password)
                return await super().send(envelope, account, attempt)

        class Honest(SmtpTransport):
            async def send(self, envelope, account, attempt):
                await super().send(envelope, account, attempt)
                return Delivery.of_all(envelope.recipients, Disposition.TEMPORARY, repr(account.password))

        class TestChatty(TransportSuite):
            offer = Offer("chatty", Chatty, SmtpSettings)

        class TestHonest(TransportSuite):
            offer = Offer("honest", Honest, SmtpSettings)
        """,
        "TestChatty::test_no_secret_is_in_the_log",
        "TestHonest::test_no_secret_is_in_outcomes_or_log",
    )
    assert "shows a secret in the log" in said["TestChatty::test_no_secret_is_in_the_log"]
    honest = said["TestHonest::test_no_secret_is_in_outcomes_or_log"]
    assert "shows a secret in the text of an outcome" in honest
