"""A connection to a broker, as the sink sees it; the modules ``*_link`` have one for each broker."""

from __future__ import annotations

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

from asyncmail_streams.notes import Note

T = TypeVar("T")


class Link(ABC):
    """Never reconnects of itself. ``failures``: what its methods may raise, beside ``OSError``."""

    failures: ClassVar[tuple[type[Exception], ...]]

    @abstractmethod
    async def open(self, tls: ssl.SSLContext | None) -> None:
        """Connect. A link that did not open, or failed later, is closed before it is opened again."""

    @abstractmethod
    async def publish(self, notes: Sequence[Note], confirmed: set[str]) -> str:
        """Publish in order. Adds the ``report`` of each note that the broker confirmed to
        ``confirmed``, also where it raises later; says why it did not take the others."""

    @abstractmethod
    async def close(self) -> None:
        """Close whatever is there, which may be nothing or half of a connection."""


async def while_open(work: Awaitable[T], lost: asyncio.Future[Exception]) -> T:
    """The result of ``work``, or the error that ``lost`` gets when the connection ends before."""
    task = asyncio.ensure_future(work)
    either: set[asyncio.Future[Any]] = {task, lost}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise lost.result()
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
