"""The promises of a retention policy: a plain decision, and nothing released that is not safe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan

import pytest

from asyncmail.model import RetiredMessage
from asyncmail.plugins.interfaces import Retention
from asyncmail.testing import samples
from asyncmail.testing.suites.base import Suite
from asyncmail.testing.suites.calls import broken, promise
from asyncmail.testing.suites.rules import plays_peer, reaches_peer

RELEASE = "nothing is deleted then, and the same records come again; return the ids that are safe"


class RetentionSuite(Suite[Retention]):
    """Subclass it as ``class TestMine(RetentionSuite)`` and say ``offer``; see ``Suite``.

    ``records``: a fixture to override if the policy treats some records differently.
    ``break_destination``: to override if ``release()`` writes the records somewhere first.
    """

    kind = Retention

    @pytest.fixture
    def records(self) -> Sequence[RetiredMessage]:
        return [
            samples.retired("sent"),
            samples.retired("failed", sent_ts=None, error_ts=int(samples.NOW), error="550 нет"),
            samples.retired("unreported", reported_ts=None),
            samples.retired("bare", payload={}),
        ]

    async def break_destination(self, extension: Retention) -> None:
        """Make the place unusable to which ``release()`` writes."""
        broken(
            "your release() does something before it lets records go: override break_destination() so"
            " that it cannot, and the suite sees that nothing is released then"
        )

    async def use(self, extension: Retention) -> None:
        await self.released(extension, [samples.retired()])

    def decided(self, retention: Retention, now: float, account: str = "shop") -> float | None:
        what = self.called("cutoff")
        try:
            cutoff: object = retention.cutoff(now, account)
        except BaseException as error:  # whatever it is, the author has to know
            broken(f"{what} raised {type(error).__name__}: {error}; return None to abstain")
        promise(
            cutoff is None
            or (isinstance(cutoff, int | float) and not isinstance(cutoff, bool | type(None))),
            f"{what} returned {type(cutoff).__name__}: a plain function that returns a time in seconds,"
            " None to abstain, or -inf to keep everything",
        )
        return None if cutoff is None else float(cutoff)  # type: ignore[arg-type]

    async def released(
        self, retention: Retention, records: Sequence[RetiredMessage]
    ) -> tuple[str, ...]:
        what = self.called("release")
        answer: object = await self.ask(what, lambda: retention.release(records), advice=RELEASE)
        promise(
            isinstance(answer, Iterable) and not isinstance(answer, str),
            f"{what} returned {type(answer).__name__}: return the ids that may go",
        )
        ids: tuple[str, ...] = tuple(answer)  # type: ignore[arg-type]
        strange = [id for id in ids if id not in {record.id for record in records}]
        promise(
            not strange,
            f"{what} released {strange[:5]}, which it was not asked about: return ids of `records` only",
        )
        return ids

    async def test_the_cutoff_is_a_plain_decision(self, extension: Retention) -> None:
        for account in ("shop", "", "an account ünknown"):
            cutoff = self.decided(extension, samples.NOW, account)
            promise(
                cutoff is None or (not isnan(cutoff) and cutoff <= samples.NOW),
                f"{self.called('cutoff')} returned {cutoff} at {samples.NOW}: a time in the past, and"
                " seconds since the epoch, not an age",
            )

    async def test_the_cutoff_is_the_same_when_asked_again(self, extension: Retention) -> None:
        first = self.decided(extension, samples.NOW)
        promise(
            first == self.decided(extension, samples.NOW),
            f"{self.called('cutoff')} answers differently at the same time: use `now`, no other clock",
        )

    async def test_the_cutoff_never_goes_back(self, extension: Retention) -> None:
        first = self.decided(extension, samples.NOW)
        later = self.decided(extension, samples.NOW + 86400)
        if first is not None and later is not None:
            promise(
                later >= first,
                f"{self.called('cutoff')} returned {first}, and a day later {later}: count from `now`",
            )

    @reaches_peer
    async def test_only_what_was_asked_about_is_released(
        self, extension: Retention, records: Sequence[RetiredMessage]
    ) -> None:
        await self.released(extension, records)
        promise(
            await self.released(extension, []) == (),
            f"{self.called('release')} released something of an empty list",
        )

    @reaches_peer
    async def test_the_same_records_may_come_again(
        self, extension: Retention, records: Sequence[RetiredMessage]
    ) -> None:
        """The service may stop between release and deletion."""
        first = await self.released(extension, records)
        promise(
            sorted(first) == sorted(await self.released(extension, records)),
            f"{self.called('release')} answers otherwise when the same records come again: the service"
            " may have stopped before it deleted them",
        )

    @plays_peer
    async def test_nothing_is_released_while_its_destination_fails(
        self, extension: Retention, records: Sequence[RetiredMessage]
    ) -> None:
        if type(extension).release is Retention.release:
            pytest.skip("release() is the default: nothing is written anywhere")
        await self.break_destination(extension)
        try:
            ids = tuple(await extension.release(records))
        except Exception:  # raising keeps everything, too
            ids = ()
        promise(
            not ids,
            f"{self.called('release')} released {ids} although its destination failed: return only ids"
            " whose records are durable elsewhere",
        )
