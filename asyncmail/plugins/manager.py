"""The plugin manager: what is installed, and how the configured extensions are made from it."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import pluggy

from asyncmail.clock import Clock
from asyncmail.errors import ConfigurationError, PluginError
from asyncmail.plugins import hookspecs
from asyncmail.plugins.context import Handovers, ServiceContext
from asyncmail.plugins.discovery import Plugin, Status, canonical, find, load, take_offers
from asyncmail.plugins.extensions import Extensions
from asyncmail.plugins.failures import describe
from asyncmail.plugins.interfaces import Extension, Offer, Transport
from asyncmail.plugins.kinds import BASES, OWN_PACKAGE, Kind, Loaded
from asyncmail.plugins.secrets import SecretRegistry
from asyncmail.plugins.settings import secrets_in, suggestion, validated

__all__ = ["Extensions", "Kind", "Loaded", "PluginInfo", "PluginManager", "Status"]

log: Final = logging.getLogger("asyncmail.plugins")


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """An installed plugin, for people: ``kinds`` maps each kind to the names that it offers."""

    name: str
    package: str
    version: str
    status: Status
    kinds: Mapping[str, tuple[str, ...]]
    error: str | None = None
    traceback: str | None = field(default=None, repr=False)


class PluginManager:
    """Finds plugins once, at start-up, and builds what the configuration names; one per app.

    ``disabled``: names of plugins or of their packages, which are never imported. ``secrets`` learns
    what the settings of extensions declare to be secret.
    """

    def __init__(
        self,
        disabled: Collection[str] = (),
        *,
        distributions: Callable[
            [], Iterable[importlib.metadata.Distribution]
        ] = importlib.metadata.distributions,
        secrets: SecretRegistry | None = None,
    ) -> None:
        self._disabled = frozenset(disabled)
        self._distributions = distributions
        self._secrets = SecretRegistry() if secrets is None else secrets
        self._plugins: list[Plugin] = []
        self._hooks = pluggy.PluginManager(hookspecs.PROJECT)
        self._hooks.add_hookspecs(hookspecs)

    def discover(self) -> None:
        """Find and import what is installed; to be called once. A broken plugin is logged, no more."""
        register = partial(take_offers, self._hooks)
        absent = set(self._disabled)
        for found in find(self._distributions()):
            names = {found.name, found.package, canonical(found.package)}
            absent -= names
            if self._disabled & names:
                self._plugins.append(
                    Plugin(found.name, found.package, found.version, Status.DISABLED)
                )
            else:
                self._plugins.append(load(found, register))
        for name in sorted(absent):
            log.warning("[plugins] disabled names '%s', but no such plugin is installed", name)
        self._refuse_duplicates()
        for plugin in self._plugins:
            if plugin.status is Status.FAILED:
                trace = f"\n{plugin.traceback}" if plugin.traceback else ""
                log.error("%s failed to load: %s%s", plugin, plugin.error, trace)

    def listing(self) -> list[PluginInfo]:
        """All installed plugins, by package and name."""
        return [
            PluginInfo(
                plugin.name,
                plugin.package,
                plugin.version,
                plugin.status,
                {str(k): tuple(named) for k, named in plugin.offers.items() if named}
                if plugin.status is Status.LOADED
                else {},
                plugin.error,
                plugin.traceback,
            )
            for plugin in self._plugins
        ]

    def build(
        self,
        chosen: Mapping[Kind, Sequence[str]],
        settings: Mapping[str, Mapping[str, Any]],
        clock: Clock,
    ) -> Extensions:
        """Make the chosen extensions, each with its settings, without starting them.

        Raises ``PluginError`` for what is missing or broken, ``ConfigurationError`` for wrong settings.
        """
        self._refuse_unknown_settings(settings)
        builder = _Builder(self._offer, chosen, settings, clock, self._secrets)
        return Extensions(
            validators=builder.all(Kind.VALIDATOR),
            transports={loaded.name: loaded for loaded in builder.all(Kind.TRANSPORT)},
            sinks=builder.all(Kind.SINK),
            retention=builder.all(Kind.RETENTION),
            filters=builder.all(Kind.FILTER),
            attachments=builder.all(Kind.ATTACHMENT),
            observers=builder.all(Kind.OBSERVER),
        )

    # --- names ---

    def _refuse_duplicates(self) -> None:
        """Two plugins with one name: neither is used, so that the order of loading decides nothing.
        The built-in plugins keep theirs."""
        claims: dict[tuple[Kind, str], list[Plugin]] = {}
        for plugin in self._plugins:
            for kind, named in plugin.offers.items():
                for name in named:
                    claims.setdefault((kind, name), []).append(plugin)
        for (kind, name), claimants in claims.items():
            for plugin in claimants:
                rivals = " and ".join(str(other) for other in claimants if other is not plugin)
                if rivals and canonical(plugin.package) != OWN_PACKAGE:
                    plugin.fail(f"it offers {kind} '{name}', and so does {rivals}")

    def _offer(self, kind: Kind, name: str) -> tuple[Plugin, Offer[Any]]:
        for plugin in self._plugins:
            offer = plugin.offers.get(kind, {}).get(name)
            if offer is not None and plugin.status is Status.LOADED:
                return plugin, offer
        raise self._missing(kind, name)

    def _missing(self, kind: Kind, name: str) -> PluginError:
        """Why there is no such extension, as far as one can know, and what there is instead."""
        available = {n: p for p in self._loaded() for n in p.offers.get(kind, {})}
        elsewhere = [k for p in self._loaded() for k, named in p.offers.items() if name in named]
        absent = [p for p in self._plugins if p.status is not Status.LOADED]
        suspects = [p for p in absent if _suspected(p, kind, name)]
        first = (
            f"it is a {elsewhere[0]}, not a {kind};" if elsewhere else suggestion(name, available)
        )
        rest = (
            f"available: {', '.join(sorted(available)) or 'none'}",
            *(_absence(plugin) for plugin in suspects or absent),
        )
        what = f"[plugins] {kind.setting}: there is no {kind} '{name}'"
        return PluginError(what, hint=f"{first} {'; '.join(rest)}".strip())

    def _refuse_unknown_settings(self, settings: Mapping[str, Mapping[str, Any]]) -> None:
        """A table for nobody is a misspelt one, unless a plugin that is not loaded may be meant."""
        known = {n: p for p in self._loaded() for named in p.offers.values() for n in named}
        for name in settings.keys() - known.keys():
            what = f"[plugins.{name}]: no plugin offers anything called '{name}'"
            if len(self._loaded()) == len(self._plugins):
                raise ConfigurationError(what, hint=suggestion(name, known))
            log.warning("%s, but some plugins are not loaded", what)

    def _loaded(self) -> list[Plugin]:
        return [plugin for plugin in self._plugins if plugin.status is Status.LOADED]


def _suspected(plugin: Plugin, kind: Kind, name: str) -> bool:
    """Whether a plugin that is not loaded looks like the one that would offer this."""
    words = {plugin.name, *canonical(plugin.package).split("-")}
    return name in words or name in plugin.offers.get(kind, {})


def _absence(plugin: Plugin) -> str:
    if plugin.status is Status.DISABLED:
        return f"{plugin} is disabled"
    return f"{plugin} failed to load: {plugin.error}"


class _Builder:
    """Makes the extensions of one configuration, transports early if another asks for them."""

    def __init__(
        self,
        offer: Callable[[Kind, str], tuple[Plugin, Offer[Any]]],
        chosen: Mapping[Kind, Sequence[str]],
        settings: Mapping[str, Mapping[str, Any]],
        clock: Clock,
        secrets: SecretRegistry,
    ) -> None:
        self._offer = offer
        self._chosen = chosen
        self._settings = settings
        self._clock = clock
        self._secrets = secrets
        self._made: dict[tuple[Kind, str], Loaded[Any]] = {}
        self._handovers = Handovers()

    def all(self, kind: Kind) -> tuple[Loaded[Any], ...]:
        names = self._chosen.get(kind, ())
        for name in names:
            if names.count(name) > 1:
                raise ConfigurationError(f"[plugins] {kind.setting} names '{name}' twice")
        return tuple(self._get(kind, name) for name in names)

    def _get(self, kind: Kind, name: str) -> Loaded[Any]:
        loaded = self._made.get((kind, name))
        if loaded is None:
            loaded = self._made[kind, name] = self._make(kind, name)
        return loaded

    def _make(self, kind: Kind, name: str) -> Loaded[Any]:
        plugin, offer = self._offer(kind, name)
        whose = f"[plugins.{name}], the settings of {kind} '{name}' of {plugin}"
        settings = validated(offer.settings, self._settings.get(name, {}), whose=whose)
        for secret in secrets_in(settings):
            self._secrets.register(secret)
        context = ServiceContext(
            self._clock,
            logging.getLogger(f"asyncmail.plugin.{name}"),
            partial(self._transport, kind, name),
        )
        try:
            extension: Extension = offer.make(settings, context)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            cause = str(error) if isinstance(error, PluginError) else describe(error)
            words = f"{kind} '{name}' of {plugin} cannot be made: {self._secrets.mask(cause)}"
            raise PluginError(words) from error
        if not isinstance(extension, BASES[kind]):
            made = type(extension).__name__
            raise PluginError(f"{kind} '{name}' of {plugin} cannot be made: it is a {made}")
        return Loaded(kind, name, plugin.package, plugin.version, extension)

    def _transport(self, kind: Kind, asker: str, name: str) -> Transport:
        if name not in self._chosen.get(Kind.TRANSPORT, ()):
            raise PluginError(
                f"{kind} '{asker}' asks for transport '{name}'",
                hint="it is not among [plugins] transports",
            )
        if kind is Kind.TRANSPORT:
            self._handovers.add(asker, name)
        transport: Transport = self._get(Kind.TRANSPORT, name).extension
        return transport
