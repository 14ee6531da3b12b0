"""SQLite stores on one path: opened, reopened, and opened on what a killed process would leave."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from asyncmail.store.base import Store
from asyncmail.store.keys import KeyRing
from asyncmail.store.sqlite import SQLiteStore
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.stores import Stores


class SQLiteStores(Stores):
    """Opens stores on one file."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.path = folder / "queue.db"
        self.keys = KeyRing.load(folder / "asyncmail.key")
        self._clock = clock
        self._opened: list[Store] = []
        self._crashes = 0

    @property
    def ballast(self) -> Path:
        """Where the ballast is, if there is one."""
        return self.path.with_name(self.path.name + ".ballast")

    def make(self, **options: Any) -> SQLiteStore:
        return SQLiteStore(self.path, **({"clock": self._clock, "keys": self.keys} | options))

    async def open(self, **options: Any) -> SQLiteStore:
        store = self.make(**options)
        await store.open()
        self._opened.append(store)
        return store

    async def open_after_kill(self, **options: Any) -> SQLiteStore:
        """A store on what the disk holds now, as after ``kill -9`` of the process that has it open."""
        self._crashes += 1
        rest = self.path.with_name(f"after-kill-{self._crashes}.db")
        for end in ("", "-wal"):
            shutil.copy(f"{self.path}{end}", f"{rest}{end}")
        self.path = rest
        return await self.open(**options)

    async def close(self) -> None:
        for store in self._opened:
            await store.close()
