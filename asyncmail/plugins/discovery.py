"""Finding installed plugins and taking their offers, so that a broken one harms nobody else."""

from __future__ import annotations

import inspect
import logging
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import Distribution, EntryPoint, EntryPoints
from typing import Any, Final

import pluggy
from pydantic import BaseModel

from asyncmail.errors import PluginError
from asyncmail.plugins.failures import describe
from asyncmail.plugins.hookspecs import ENTRY_POINT_GROUP
from asyncmail.plugins.interfaces import Offer
from asyncmail.plugins.kinds import Kind

log: Final = logging.getLogger("asyncmail.plugins")

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # of an extension: a key in a TOML table
UNKNOWN = "unknown"

Offers = Mapping[Kind, Mapping[str, Offer[Any]]]


class Status(StrEnum):
    """What became of an installed plugin."""

    LOADED = "loaded"
    FAILED = "failed"
    DISABLED = "disabled"


@dataclass(slots=True)
class Plugin:
    """An installed plugin: one entry point of one package. ``offers`` count only while it is loaded."""

    name: str
    package: str
    version: str
    status: Status
    offers: Offers = field(default_factory=dict)
    error: str | None = None
    traceback: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"plugin '{self.name}' ({self.package} {self.version})"

    def fail(self, error: str, trace: str | None = None) -> None:
        self.status, self.error, self.traceback = Status.FAILED, error, trace


@dataclass(frozen=True, slots=True)
class Found:
    """An entry point that nobody has imported yet; ``None``: the package's metadata is broken."""

    package: str
    version: str
    name: str
    entry_point: EntryPoint | None
    error: str | None = None


def find(distributions: Iterable[Distribution]) -> list[Found]:
    """Every entry point of the group, by package and name, of each package the first on the path.

    Unlike ``importlib.metadata.entry_points()``, this survives packages whose metadata is broken.
    """
    found: dict[tuple[str, str], Found] = {}
    for distribution in distributions:
        for one in _of_distribution(distribution):
            found.setdefault((canonical(one.package), one.name), one)
    return [found[key] for key in sorted(found)]


def canonical(package: str) -> str:
    """A package's name in the form in which names are compared."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _of_distribution(distribution: Distribution) -> Iterator[Found]:
    try:
        text = distribution.read_text("entry_points.txt") or ""
    except Exception as error:
        log.warning("the metadata of a package cannot be read: %s", describe(error))
        return
    if ENTRY_POINT_GROUP not in text:
        return
    try:
        metadata = distribution.metadata
        package, version = metadata["Name"] or UNKNOWN, metadata["Version"] or UNKNOWN
    except Exception:
        package = version = UNKNOWN
    try:
        entry_points: EntryPoints = distribution.entry_points.select(group=ENTRY_POINT_GROUP)
        for entry_point in entry_points:
            yield Found(package, version, entry_point.name, entry_point)
    except Exception as error:
        problem = f"its entry points cannot be read: {describe(error)}"
        yield Found(package, version, package, None, problem)


def load(found: Found, register: Callable[[Any, str], Offers]) -> Plugin:
    """Import a plugin and take its offers: all of them, or, if anything is wrong, none."""
    plugin = Plugin(found.name, found.package, found.version, Status.LOADED)
    if found.entry_point is None:
        plugin.fail(found.error or "")
        return plugin
    try:
        plugin.offers = register(found.entry_point.load(), f"{found.package}:{found.name}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        plugin.fail(describe(error), "".join(traceback.format_exception(error)))
    return plugin


def take_offers(hooks: pluggy.PluginManager, module: Any, name: str) -> Offers:
    """Register a plugin and call its hooks, nobody else's. Raises whatever is wrong with it."""
    hooks.register(module, name)
    try:
        hooks.check_pending()
        others = [other for other in hooks.get_plugins() if other is not module]
        return {kind: _named(kind, hooks.subset_hook_caller(kind.hook, others)) for kind in Kind}
    except BaseException:
        hooks.unregister(module)
        raise


def _named(kind: Kind, hook: Callable[[], Iterable[Any]]) -> Mapping[str, Offer[Any]]:
    named: dict[str, Offer[Any]] = {}
    for answer in hook():
        if inspect.iscoroutine(answer):
            answer.close()
            raise PluginError(f"{kind.hook} is async; hooks are plain functions")
        for offer in answer:
            _check(kind, offer)
            if offer.name in named:
                raise PluginError(f"it offers two {kind}s called '{offer.name}'")
            named[offer.name] = offer
    return named


def _check(kind: Kind, offer: object) -> None:
    if not isinstance(offer, Offer):
        raise PluginError(f"{kind.hook} returned {type(offer).__name__} in place of an Offer")
    if not isinstance(offer.name, str) or not NAME.fullmatch(offer.name):
        raise PluginError(f"{kind.hook} offers {offer.name!r}, which cannot be a name")
    if not callable(offer.make):
        raise PluginError(f"{kind} '{offer.name}': make is not callable")
    if not (isinstance(offer.settings, type) and issubclass(offer.settings, BaseModel)):
        raise PluginError(f"{kind} '{offer.name}': settings is not a pydantic model")
