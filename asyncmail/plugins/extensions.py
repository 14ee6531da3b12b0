"""The extensions in use, and their start and stop."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from asyncmail.errors import PluginError
from asyncmail.plugins.failures import ExtensionFailed
from asyncmail.plugins.guard import Guard
from asyncmail.plugins.interfaces import (
    AttachmentSource,
    Extension,
    Filter,
    Observer,
    Retention,
    Sink,
    Transport,
    Validator,
)
from asyncmail.plugins.kinds import Loaded

log: Final = logging.getLogger("asyncmail.plugins")

START_DEADLINE = 60.0  # seconds
STOP_DEADLINE = 1.0  # seconds; stopping is part of the time in which the service must exit


@dataclass(frozen=True)
class Extensions:
    """What the configuration chose, each kind in its configured order."""

    validators: tuple[Loaded[Validator], ...] = ()
    transports: Mapping[str, Loaded[Transport]] = field(default_factory=dict)
    sinks: tuple[Loaded[Sink], ...] = ()
    retention: tuple[Loaded[Retention], ...] = ()
    filters: tuple[Loaded[Filter], ...] = ()
    attachments: tuple[Loaded[AttachmentSource], ...] = ()
    observers: tuple[Loaded[Observer], ...] = ()

    def __iter__(self) -> Iterator[Loaded[Extension]]:
        """All of them, in the order of starting: who is told what happened comes first."""
        yield from self.observers
        yield from self.attachments
        yield from self.transports.values()
        yield from self.filters
        yield from self.validators
        yield from self.retention
        yield from self.sinks

    @asynccontextmanager
    async def running(self, guard: Guard) -> AsyncIterator[None]:
        """All are started inside the block and stopped in reverse order behind it.

        Raises ``PluginError`` for the first that does not start; it and those before it are stopped.
        Start and stop run in tasks of their own.
        """
        async with AsyncExitStack() as stack:
            for loaded in self:
                stack.push_async_callback(_stop, guard, loaded)
                await _start(guard, loaded)
            yield


async def _start(guard: Guard, loaded: Loaded[Extension]) -> None:
    start = loaded.extension.start
    try:
        await guard.call(loaded, start, deadline=START_DEADLINE, recorded=False)
    except Exception as error:
        cause = error.cause if isinstance(error, ExtensionFailed) else str(error)
        raise PluginError(f"{loaded} could not be started: {cause}") from error


async def _stop(guard: Guard, loaded: Loaded[Extension]) -> None:
    """A failure is logged, and the others are stopped all the same."""
    stop = loaded.extension.stop
    try:
        await guard.call(loaded, stop, deadline=STOP_DEADLINE, recorded=False)
    except Exception as error:
        log.warning("%s was not stopped properly: %s", loaded, error)
