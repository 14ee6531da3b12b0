"""Whether the store can keep what it is given: the last commit, the disk, and the file itself."""

from __future__ import annotations

import os
from pathlib import Path

from asyncmail.clock import Clock
from asyncmail.store.base import Health

LOOK_SECONDS = 1.0  # how long a look at the disk is believed

HEALTHY = Health(True)


class StorageHealth:
    """Cheap to ask; the disk is looked at once a second at most."""

    def __init__(self, path: Path, clock: Clock, min_free_bytes: int) -> None:
        self._path = path
        self._clock = clock
        self._min_free_bytes = min_free_bytes
        self._inode: int | None = None
        self._looked_at: float | None = None
        self._disk = ""
        self._commit = ""

    def opened(self) -> None:
        """Remember which file it is."""
        self._inode = self._path.stat().st_ino

    def commit_failed(self, reason: str) -> None:
        self._commit = reason

    def commit_succeeded(self) -> None:
        self._commit = ""

    @property
    def commits(self) -> bool:
        """Whether the last commit succeeded."""
        return not self._commit

    def look(self) -> Health:
        now = self._clock.steady()
        if self._looked_at is None or not 0 <= now - self._looked_at < LOOK_SECONDS:
            self._looked_at = now
            self._disk = self._look_at_disk()
        reason = self._commit or self._disk
        return Health(False, reason) if reason else HEALTHY

    def _look_at_disk(self) -> str:
        try:
            if self._path.stat().st_ino != self._inode:
                return f"database {self._path} was replaced by another file"
            disk = os.statvfs(self._path)
        except OSError as error:
            return f"database {self._path}: {error.strerror}"
        free = disk.f_bavail * disk.f_frsize
        if free < self._min_free_bytes:
            return (
                f"disk of {self._path} is low: {free} bytes free, {self._min_free_bytes} required"
            )
        return ""
