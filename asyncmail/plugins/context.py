"""What an extension is lent when it is made, and how transports reach each other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from asyncmail.clock import Clock
from asyncmail.errors import PluginError
from asyncmail.plugins.interfaces import Transport


@dataclass(frozen=True)
class ServiceContext:
    """The ``Context`` of one extension."""

    clock: Clock
    logger: logging.Logger
    find_transport: Callable[[str], Transport]

    def transport(self, name: str) -> Transport:
        return self.find_transport(name)


class Handovers:
    """Which transport hands over to which; a circle would pass a message round for ever."""

    def __init__(self) -> None:
        self._to: dict[str, set[str]] = {}

    def add(self, origin: str, target: str) -> None:
        """Raises ``PluginError`` if this closes a circle."""
        way = self._way(target, origin)
        if way is not None:
            circle = " -> ".join([origin, *way])
            raise PluginError(f"transports must not hand over in a circle: {circle}")
        self._to.setdefault(origin, set()).add(target)

    def _way(self, origin: str, target: str) -> list[str] | None:
        if origin == target:
            return [origin]
        for step in sorted(self._to.get(origin, ())):
            way = self._way(step, target)
            if way is not None:
                return [origin, *way]
        return None
