"""Suites for plugins as a user has configured them: what ``asyncmail plugins check`` runs.

Nothing reaches the real peer of a plugin unless ``live`` is said, and what needs a peer that misbehaves
on demand is left to the plugin's own tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from asyncmail.app import chosen_plugins, plugin_tables
from asyncmail.clock import SystemClock
from asyncmail.config import load_settings
from asyncmail.plugins.interfaces import Transport
from asyncmail.plugins.kinds import Kind
from asyncmail.testing.lone import LoneContext, make_extension
from asyncmail.testing.suites import (
    AttachmentSourceSuite,
    Behaviour,
    FilterSuite,
    ObserverSuite,
    Peer,
    Received,
    RetentionSuite,
    SinkSuite,
    SmtpPeer,
    Suite,
    TransportSuite,
    ValidatorSuite,
)
from asyncmail.testing.suites.rules import PLAYS_PEER, REACHES_PEER

SUITES: Final[Mapping[Kind, type[Suite[Any]]]] = {
    Kind.VALIDATOR: ValidatorSuite,
    Kind.FILTER: FilterSuite,
    Kind.ATTACHMENT: AttachmentSourceSuite,
    Kind.TRANSPORT: TransportSuite,
    Kind.SINK: SinkSuite,
    Kind.RETENTION: RetentionSuite,
    Kind.OBSERVER: ObserverSuite,
}
OWN = "only the plugin's own tests know what its settings accept, or what there is"
PLAYED = "needs a peer that misbehaves on demand: the plugin's own tests have one"
QUIET = "would reach the real peer: say --live"
NO_ADDRESS = "a message would go out: say --live --to ADDRESS"

_OF_THE_AUTHOR: Final[Mapping[Kind, Sequence[str]]] = {
    Kind.VALIDATOR: ("test_it_accepts", "test_it_rejects_with_a_reason"),
    Kind.ATTACHMENT: (
        "test_the_content_is_fetched",
        "test_it_handles_its_own_references_only",
        "test_what_is_missing_is_an_attachment_error",
        "test_nothing_outside_of_what_is_allowed_is_reached",
        "test_content_with_another_md5_is_refused",
        "test_many_at_once_do_not_mix",
    ),
}


def suites(
    config: str | None, offers: Sequence[tuple[str, str]], *, live: bool, to: str | None
) -> dict[str, type[Suite[Any]]]:
    """A test class for each (kind, name), by the name of the class.

    ``live``: messages, reports and events of the tests may go out; ``to``: where messages may go.
    """
    settings = load_settings(Path(config) if config else None)
    tables = plugin_tables(settings)
    transports = chosen_plugins(settings)[Kind.TRANSPORT]
    found: dict[str, type[Suite[Any]]] = {}
    for kind_name, name in offers:
        kind = Kind(kind_name)
        body = {
            "offer": name,
            "cannot": _left_out(kind, live=live, to=to),
            "settings": _fixture(tables.get(name, {})),
            "__module__": __name__,
        }
        if kind is Kind.FILTER:
            body["keeps"] = ()  # rewriting may be what it is for
        if kind is Kind.TRANSPORT:
            others = [other for other in transports if other != name]
            body |= {"transports": _lent(others, tables), "peer": _peer(to)}
        title = f"Test{kind.title()}_{name}"
        found[title] = type(title, (SUITES[kind],), body)
    return found


def _left_out(kind: Kind, *, live: bool, to: str | None) -> dict[str, str]:
    """The tests that are skipped, and why."""
    left_out: dict[str, str] = {}
    for name in dir(SUITES[kind]):
        test = getattr(SUITES[kind], name)
        if name in _OF_THE_AUTHOR.get(kind, ()):
            left_out[name] = OWN
        elif hasattr(test, PLAYS_PEER):
            left_out[name] = PLAYED
        elif hasattr(test, REACHES_PEER) and kind not in (Kind.VALIDATOR, Kind.FILTER):
            if not live:
                left_out[name] = QUIET
            elif kind is Kind.TRANSPORT and to is None:
                left_out[name] = NO_ADDRESS
    return left_out


def _fixture(table: Mapping[str, Any]) -> Any:
    @pytest.fixture
    def settings(self: Suite[Any]) -> Mapping[str, Any]:
        return table

    return settings


def _lent(names: Sequence[str], tables: Mapping[str, Mapping[str, Any]]) -> Any:
    """The other configured transports, for one that hands over to them."""

    @pytest.fixture
    async def transports(self: Suite[Any]) -> AsyncIterator[Mapping[str, Transport]]:
        made: dict[str, Transport] = {}
        async with AsyncExitStack() as stack:
            for name in names:
                context = LoneContext(SystemClock(), name=name, transports=made)
                transport = make_extension(Transport, name, tables.get(name), context)  # type: ignore[type-abstract]
                stack.push_async_callback(transport.stop)
                await transport.start()
                made[name] = transport
            yield made

    return transports


class _Inbox(Peer):
    """A server on loopback is the account's smarthost; a transport with a peer of its own gets an
    address that somebody reads."""

    def __init__(self, smarthost: SmtpPeer, to: str) -> None:
        self.account = smarthost.account
        self._smarthost = smarthost
        self._to = to

    def address(self, name: str, behaviour: Behaviour) -> str:
        local, _, domain = self._to.rpartition("@")
        return f"{local}+{name}@{domain}"

    async def received(self) -> Sequence[Received]:
        return await self._smarthost.received()


def _peer(to: str | None) -> Any:
    @pytest.fixture
    async def peer(self: Suite[Any]) -> AsyncIterator[Peer]:
        async with SmtpPeer.running() as peer:
            yield _Inbox(peer, to or "nobody@check.invalid")

    return peer
