"""What a service lends to extensions, for one that is tried alone: a context and an attempt."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, TypeVar

from asyncmail.clock import Clock
from asyncmail.errors import PluginError
from asyncmail.model import OnUncertain
from asyncmail.plugins.hookspecs import ENTRY_POINT_GROUP
from asyncmail.plugins.interfaces import Context, Extension, Offer, Transport
from asyncmail.plugins.kinds import BASES
from asyncmail.plugins.settings import validated
from asyncmail.testing.clock import ManualClock

ExtensionT = TypeVar("ExtensionT", bound=Extension)


class LoneContext:
    """The ``Context`` of an extension without a service. ``transports``: what it may hand over to."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        name: str = "lone",
        transports: Mapping[str, Transport] | None = None,
    ) -> None:
        self.clock: Clock = clock or ManualClock()
        self.logger = logging.getLogger(f"asyncmail.plugin.{name}")
        self._transports = dict(transports or {})

    def transport(self, name: str) -> Transport:
        """One of ``transports``; raises ``PluginError`` for any other, as the service does."""
        if name not in self._transports:
            raise PluginError(f"there is no transport '{name}'", hint="lend it to the context")
        return self._transports[name]


async def _at_once() -> None:
    """The intent is recorded without a wait."""


class NotingAttempt:
    """An ``Attempt`` that notes the calls, in order, in ``calls``.

    ``at_begin`` runs inside ``begin()``, ``at_dot`` inside ``before_dot()``; each may raise.
    """

    def __init__(
        self,
        *,
        at_begin: Callable[[], None] = lambda: None,
        at_dot: Callable[[], Awaitable[None]] = _at_once,
        number: int = 1,
        on_uncertain: OnUncertain = OnUncertain.RETRY,
    ) -> None:
        self.number = number
        self.on_uncertain = on_uncertain
        self.calls: list[str] = []
        self.moves = 0
        self.dot_allowed = False
        self._at_begin = at_begin
        self._at_dot = at_dot

    def begin(self) -> None:
        self.calls.append("begin")
        self._at_begin()

    async def before_dot(self) -> None:
        self.calls.append("before_dot")
        await self._at_dot()
        self.dot_allowed = True

    def progress(self) -> None:
        self.moves += 1


def find_offer(kind: type[ExtensionT], name: str) -> Offer[ExtensionT]:
    """What an installed plugin offers under this name; raises ``PluginError`` if none does."""
    hook = next(k.hook for k, base in BASES.items() if base is kind)
    others: list[str] = []
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        offers: Sequence[Offer[ExtensionT]] = tuple(
            getattr(entry.load(), hook, lambda: ())()  # a plugin has the hooks that it needs
        )
        for offer in offers:
            if offer.name == name:
                return offer
            others.append(offer.name)
    raise PluginError(
        f"no installed package offers a {kind.__name__} named '{name}'",
        hint=f"there are: {', '.join(sorted(others)) or 'none'}; its pyproject needs the entry point"
        f" group '{ENTRY_POINT_GROUP}', and {hook}() has to be marked with @hookimpl",
    )


def make_extension(
    kind: type[ExtensionT],
    offer: str | Offer[Any],
    settings: Mapping[str, Any] | None = None,
    context: Context | None = None,
) -> ExtensionT:
    """An extension as the service would make it, not started: settings checked by their model.

    ``offer``: itself, or its name in an installed package. Raises ``PluginError`` and
    ``ConfigurationError``.
    """
    found = find_offer(kind, offer) if isinstance(offer, str) else offer
    whose = f"the settings of '{found.name}'"
    made = found.make(
        validated(found.settings, settings or {}, whose=whose),
        context or LoneContext(name=found.name),
    )
    if not isinstance(made, kind):
        raise PluginError(f"'{found.name}' makes a {type(made).__name__}, not a {kind.__name__}")
    return made
