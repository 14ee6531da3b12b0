"""How the tests open stores of one engine: what the author of another engine brings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from asyncmail.store.base import Store


class Stores(ABC):
    """Opens stores on one database. ``options`` go to the engine's own constructor."""

    @abstractmethod
    async def open(self, **options: Any) -> Store:
        """A store, opened. The first one finds an empty database."""

    @abstractmethod
    async def open_after_kill(self, **options: Any) -> Store:
        """A store on what is durable now, as after ``kill -9`` of the process that has it open."""

    @abstractmethod
    async def close(self) -> None:
        """Close all of them."""
