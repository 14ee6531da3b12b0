"""The promises of a sink: it acknowledges what its receiver has confirmed, and nothing else."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from enum import StrEnum

import pytest

from asyncmail.errors import SinkUnavailable
from asyncmail.model import Report
from asyncmail.plugins.interfaces import Ack, Sink
from asyncmail.testing import samples
from asyncmail.testing.receiver import Reply, ReportReceiver
from asyncmail.testing.suites.base import Suite
from asyncmail.testing.suites.calls import broken, hang, promise
from asyncmail.testing.suites.rules import plays_peer, reaches_peer

UNAVAILABLE = "raise SinkUnavailable(why), or SinkRefused(why) if a smaller list may pass"


class Manner(StrEnum):
    """How a receiver takes the next list."""

    CONFIRMS = "confirms"
    REFUSES = "refuses"  # understood, and not taken
    FAILS = "fails"  # an error of its own
    LOSES_REPLY = "loses reply"  # the connection ends before the confirmation
    HANGS = "hangs"


class Receiver(ABC):
    """Plays the other side of a sink."""

    @abstractmethod
    async def behave(self, manner: Manner) -> None:
        """From now on, until told otherwise."""

    @abstractmethod
    async def confirmed(self) -> Sequence[str]:
        """The ids of the reports that it has confirmed, in order."""


class HttpReceiver(Receiver):
    """``ReportReceiver`` on loopback: ``url`` is where it listens. It understands the JSON of the
    ``genropy`` sink; a sink with another body overrides ``ids``."""

    _REPLIES = {  # noqa: RUF012 - never changed
        Manner.CONFIRMS: None,
        Manner.REFUSES: Reply(status=422),
        Manner.FAILS: Reply(status=500),
        Manner.LOSES_REPLY: Reply(cut=0),
        Manner.HANGS: Reply(delay=3600),
    }

    def __init__(self, server: ReportReceiver) -> None:
        self.server = server
        self.url = server.url

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[HttpReceiver]:
        async with ReportReceiver() as server:
            yield cls(server)

    async def behave(self, manner: Manner) -> None:
        self.server.answer = self._REPLIES[manner]

    async def confirmed(self) -> Sequence[str]:
        return [str(report["id"]) for report in self.server.acknowledged]


class SinkSuite(Suite[Sink]):
    """Subclass it as ``class TestMine(SinkSuite)`` and say ``offer`` and ``settings``; see ``Suite``.

    ``receiver``: a fixture to override unless the sink posts the JSON of the ``genropy`` sink by HTTP;
    ``settings`` usually asks for it, to name its address.
    """

    kind = Sink

    @pytest.fixture
    async def receiver(self) -> AsyncIterator[Receiver]:
        async with HttpReceiver.running() as receiver:
            yield receiver

    @pytest.fixture
    def reports(self) -> Sequence[Report]:
        return samples.odd_reports()

    async def use(self, extension: Sink) -> None:
        await self.delivered(extension, [samples.report()])

    async def delivered(self, sink: Sink, reports: Sequence[Report]) -> frozenset[str]:
        """The ids that it acknowledges; none where it raises a proper error."""
        what = self.called("deliver")
        try:
            ack: object = await self.ask(
                what,
                lambda: sink.deliver(reports),
                advice=UNAVAILABLE,
                answers=(SinkUnavailable,),
                seconds=min(sink.timeout, self.seconds),
            )
        except SinkUnavailable:
            return frozenset()
        promise(isinstance(ack, Ack), f"{what} returned {type(ack).__name__}: return an Ack")
        assert isinstance(ack, Ack)  # noqa: S101 - the promise above, for type checkers
        asked = frozenset(report.id for report in reports)
        accepted = ack.accepted if isinstance(ack.accepted, frozenset) else asked
        strange = (accepted | ack.retry) - asked
        promise(
            not strange,
            f"{what} answered for {sorted(strange)[:5]}, which it was not given: only ids of `reports`",
        )
        return accepted - ack.retry

    async def _acknowledges_nothing(
        self, sink: Sink, receiver: Receiver, manner: Manner, why: str
    ) -> None:
        await receiver.behave(manner)
        reports = [samples.report("a", key=1), samples.report("b", key=2)]
        acknowledged = await self.delivered(sink, reports)
        promise(
            not acknowledged,
            f"{self.called('deliver')} acknowledged {sorted(acknowledged)} although {why}: {UNAVAILABLE}",
        )

    @plays_peer
    async def test_what_the_receiver_confirmed_is_acknowledged(
        self, extension: Sink, receiver: Receiver, reports: Sequence[Report]
    ) -> None:
        await receiver.behave(Manner.CONFIRMS)
        acknowledged = await self.delivered(extension, reports)
        asked = [report.id for report in reports]
        promise(
            acknowledged == frozenset(asked),
            f"{self.called('deliver')} does not acknowledge {sorted(set(asked) - acknowledged)}: the"
            " receiver confirmed them all, and would get them again and again",
        )
        arrived = list(await receiver.confirmed())
        promise(
            [id for id in arrived if id in acknowledged] == asked,
            f"{self.called('deliver')} acknowledged {asked}, the receiver has {arrived}: acknowledge only"
            " what has arrived, and bring each once, in order",
        )

    @plays_peer
    async def test_what_is_refused_is_not_acknowledged(
        self, extension: Sink, receiver: Receiver
    ) -> None:
        why = "the receiver refused the list"
        await self._acknowledges_nothing(extension, receiver, Manner.REFUSES, why)

    @plays_peer
    async def test_a_failing_receiver_acknowledges_nothing(
        self, extension: Sink, receiver: Receiver
    ) -> None:
        why = "the receiver failed"
        await self._acknowledges_nothing(extension, receiver, Manner.FAILS, why)

    @plays_peer
    async def test_without_a_confirmation_nothing_is_acknowledged(
        self, extension: Sink, receiver: Receiver
    ) -> None:
        why = "the connection ended before the receiver had confirmed anything"
        await self._acknowledges_nothing(extension, receiver, Manner.LOSES_REPLY, why)

    @plays_peer
    async def test_a_silent_receiver_is_waited_for_and_a_cancelled_call_ends(
        self, extension: Sink, receiver: Receiver
    ) -> None:
        await receiver.behave(Manner.HANGS)
        await hang(self.called("deliver"), lambda: extension.deliver([samples.report()]))

    @plays_peer
    async def test_it_works_again_after_failures(self, extension: Sink, receiver: Receiver) -> None:
        impossible = {
            Manner.REFUSES: "test_what_is_refused_is_not_acknowledged",
            Manner.FAILS: "test_a_failing_receiver_acknowledges_nothing",
            Manner.LOSES_REPLY: "test_without_a_confirmation_nothing_is_acknowledged",
        }
        for manner, test in impossible.items():
            if test not in self.cannot:
                await receiver.behave(manner)
                await self.delivered(extension, [samples.report("bad")])
        await receiver.behave(Manner.CONFIRMS)
        promise(
            await self.delivered(extension, [samples.report("good")]) == {"good"},
            f"{self.called('deliver')} does not recover: after a failure the next call starts afresh",
        )

    @reaches_peer
    async def test_the_same_result_may_come_again(
        self, extension: Sink, receiver: Receiver
    ) -> None:
        """The service may stop between the confirmation and its own commit."""
        await receiver.behave(Manner.CONFIRMS)
        for _ in range(2):
            promise(
                await self.delivered(extension, [samples.report()]) == {"m1"},
                f"{self.called('deliver')} does not acknowledge a report that it had before: it is"
                " offered again if the service stopped before it could note the acknowledgement",
            )

    @reaches_peer
    async def test_the_largest_list_is_taken(self, extension: Sink, receiver: Receiver) -> None:
        await receiver.behave(Manner.CONFIRMS)
        many = [samples.report(f"m{n}", key=n) for n in range(extension.max_batch)]
        promise(
            len(await self.delivered(extension, many)) == len(many),
            f"{self.called('deliver')} does not take {len(many)} reports at once: declare the number it"
            " can take as max_batch",
        )

    @reaches_peer
    async def test_an_empty_list_is_fine_where_the_sink_polls(
        self, extension: Sink, receiver: Receiver
    ) -> None:
        if extension.poll_seconds is None:
            pytest.skip("poll_seconds is None: the sink is never called with an empty list")
        await receiver.behave(Manner.CONFIRMS)
        what = f"{self.called('deliver')} of an empty list"
        ack: object = await self.ask(what, lambda: extension.deliver([]), advice=UNAVAILABLE)
        promise(isinstance(ack, Ack), f"{what} returned {type(ack).__name__}: return an Ack")

    async def test_what_it_declares_makes_sense(self, extension: Sink) -> None:
        poll = extension.poll_seconds
        if extension.max_batch < 1 or extension.timeout <= 0 or (poll is not None and poll <= 0):
            broken(
                f"{type(extension).__name__} declares max_batch={extension.max_batch},"
                f" timeout={extension.timeout}, poll_seconds={poll}: each has to be more than zero"
                " (poll_seconds may be None)"
            )

    @reaches_peer
    async def test_reports_are_not_touched(
        self, extension: Sink, receiver: Receiver, reports: Sequence[Report]
    ) -> None:
        await receiver.behave(Manner.CONFIRMS)
        before = deepcopy(list(reports))
        await self.delivered(extension, reports)
        promise(
            list(reports) == before,
            f"{self.called('deliver')} changed a report: other sinks get the same ones",
        )

    @plays_peer
    async def test_no_secret_is_in_errors_or_log(
        self,
        extension: Sink,
        receiver: Receiver,
        secrets: frozenset[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        texts: list[str] = []
        with caplog.at_level(logging.DEBUG):
            for manner in (Manner.CONFIRMS, Manner.FAILS, Manner.LOSES_REPLY):
                await receiver.behave(manner)
                try:
                    await extension.deliver([samples.report()])
                except Exception as error:
                    texts.append(repr(error))
        self.keeps_secrets(caplog.text, secrets)
        self.keeps_secrets("\n".join(texts), secrets, "an error")
