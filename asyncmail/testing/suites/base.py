"""What all suites share: how the extension is made, started and stopped, and what is skipped and why."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar, cast

import pytest

from asyncmail.errors import AsyncmailError
from asyncmail.plugins.interfaces import Extension, Offer, Transport
from asyncmail.plugins.settings import secrets_in, validated
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.lone import LoneContext, find_offer, make_extension
from asyncmail.testing.samples import PASSWORD
from asyncmail.testing.suites.calls import ANSWER_SECONDS, ask, broken, promise
from asyncmail.testing.suites.leaks import Holdings, left_since
from asyncmail.testing.suites.rules import Rules, reaches_peer

ExtensionT = TypeVar("ExtensionT", bound=Extension)
T = TypeVar("T")


class Suite(Rules, ABC, Generic[ExtensionT]):
    """The promises of one kind of extension; subclass one of its subclasses as ``class TestMine``.

    ``offer``: the name under which your installed package offers the extension (or an ``Offer``).
    ``settings``: a fixture to override, with what a configuration would say in ``[plugins.<name>]``.
    ``transports``: a fixture to override if the extension asks its context for other transports.
    ``seconds``: how long a call may take that is not meant to wait.
    ``cannot``: tests that the real peer of the extension cannot play, and the reason; they are skipped.
    """

    kind: ClassVar[type[Extension]]
    offer: ClassVar[str | Offer[Any]]
    seconds: ClassVar[float] = ANSWER_SECONDS

    # --- for the author to override ---

    @pytest.fixture
    def settings(self) -> Mapping[str, Any]:
        """The extension's settings, as the configuration would have them."""
        return {}

    @pytest.fixture
    def transports(self) -> Mapping[str, Transport]:
        """Other transports, started, that ``context.transport(name)`` gives."""
        return {}

    @abstractmethod
    async def use(self, extension: ExtensionT) -> None:
        """Let the extension do its work once, so that it opens whatever it opens."""

    # --- made by the suite ---

    @pytest.fixture
    def found(self) -> Offer[ExtensionT]:
        """The offer, from the installed package where the suite names one."""
        if not hasattr(self, "offer"):
            broken(f'{type(self).__name__} does not say what it tries: offer = "the name"')
        if not isinstance(self.offer, str):
            return self.offer
        try:
            return cast("Offer[ExtensionT]", find_offer(self.kind, self.offer))
        except AsyncmailError as error:
            broken(str(error))

    @pytest.fixture
    def make(
        self,
        found: Offer[ExtensionT],
        settings: Mapping[str, Any],
        clock: ManualClock,
        transports: Mapping[str, Transport],
    ) -> Callable[[], ExtensionT]:
        """Makes one more extension with the same settings, not started."""

        def make() -> ExtensionT:
            context = LoneContext(clock, name=found.name, transports=transports)
            try:
                return cast("ExtensionT", make_extension(self.kind, found, settings, context))
            except AsyncmailError as error:
                broken(str(error))

        return make

    @pytest.fixture
    async def extension(self, make: Callable[[], ExtensionT]) -> AsyncIterator[ExtensionT]:
        """The extension, started; stopped behind the test."""
        extension = make()
        await self.start(extension)
        yield extension
        await self.stop(extension)

    @pytest.fixture
    def secrets(self, found: Offer[ExtensionT], settings: Mapping[str, Any]) -> frozenset[str]:
        """What no log and no text of the extension may show."""
        model = validated(found.settings, settings, whose=f"the settings of '{found.name}'")
        return frozenset({PASSWORD, *secrets_in(model)} - {""})

    # --- words ---

    def called(self, method: str) -> str:
        """How failures name a call: ``Transport 'maildir': send()``."""
        name = self.offer if isinstance(self.offer, str) else self.offer.name
        return f"{self.kind.__name__} '{name}': {method}()"

    async def ask(
        self,
        what: str,
        call: Callable[[], Awaitable[T]],
        *,
        advice: str,
        answers: tuple[type[Exception], ...] = (),
        seconds: float | None = None,
    ) -> T:
        """``calls.ask``, with the patience of this suite."""
        within = self.seconds if seconds is None else seconds
        return await ask(what, call, advice=advice, answers=answers, seconds=within)

    async def start(self, extension: ExtensionT) -> None:
        advice = "an error in start() keeps the service from starting; are the settings right?"
        await self.ask(self.called("start"), extension.start, advice=advice)

    async def stop(self, extension: ExtensionT) -> None:
        advice = "stop() is called even after failures and must close whatever is there"
        await self.ask(self.called("stop"), extension.stop, advice=advice)

    def keeps_secrets(self, log: str, secrets: frozenset[str], what: str = "the log") -> None:
        """Fails if a secret is in the text."""
        shown = [secret for secret in secrets if secret in log]
        promise(
            not shown,
            f"{self.called('')[:-2].rstrip(': ')} shows a secret in {what} ({len(shown)} of them): never"
            " format settings, accounts' passwords or URLs with credentials into a text",
        )

    # --- promises of every kind ---

    async def test_making_it_opens_nothing(self, make: Callable[[], ExtensionT]) -> None:
        before = Holdings.now()
        made = [make(), make()]
        left = Holdings.now().beyond(before)
        promise(
            not left,
            f"{self.called('__init__')} opens {', '.join(left)}: `asyncmail check` makes extensions to"
            " look at them, so whatever is opened belongs in start()",
        )
        promise(made[0] is not made[1], "make() returned the same object twice: make a new one")

    async def test_it_stops_without_having_been_started(
        self, make: Callable[[], ExtensionT]
    ) -> None:
        await self.stop(make())

    async def test_it_can_be_started_again_as_a_new_one(
        self, make: Callable[[], ExtensionT]
    ) -> None:
        for _ in range(2):
            extension = make()
            await self.start(extension)
            await self.stop(extension)

    @reaches_peer
    async def test_nothing_is_left_after_stop(
        self, make: Callable[[], ExtensionT], transports: Mapping[str, Transport]
    ) -> None:
        before = Holdings.now()
        extension = make()
        await self.start(extension)
        await self.use(extension)
        await self.stop(extension)
        for lent in transports.values():
            await lent.stop()
        left = await left_since(before)
        promise(
            not left,
            f"{self.called('stop')} leaves {', '.join(left)}: close what start() and the work opened",
        )

    @reaches_peer
    async def test_no_secret_is_in_the_log(
        self,
        extension: ExtensionT,
        secrets: frozenset[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            await self.use(extension)
        self.keeps_secrets(caplog.text, secrets)
