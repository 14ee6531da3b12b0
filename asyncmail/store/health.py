"""Whether the store can keep what it is given: the last commit, the disk, and the files themselves."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from asyncmail.clock import Clock
from asyncmail.store.ballast import Ballast
from asyncmail.store.base import Health

log: Final = logging.getLogger("asyncmail.store")

LOOK_SECONDS = 1.0  # how long a look at the disk is believed
LONG_LOG_BYTES = 128 * 1024 * 1024  # twice of what is left of one that was checkpointed

HEALTHY = Health(True)


class StorageHealth:
    """Cheap to ask; the disk is looked at once a second at most."""

    def __init__(self, path: Path, clock: Clock, min_free_bytes: int, ballast: Ballast) -> None:
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        self._clock = clock
        self._min_free_bytes = min_free_bytes
        self._ballast = ballast
        self._files: dict[Path, int] = {}  # the inode of each
        self._looked_at: float | None = None
        self._disk = ""
        self._commit = ""
        self._broken = ""
        self._log_bytes = LONG_LOG_BYTES  # beyond which there is something to be said

    def opened(self) -> None:
        """Remember which files they are."""
        self._files = {path: path.stat().st_ino for path in (self._path, self._wal)}

    def commit_failed(self, reason: str) -> None:
        self._commit = reason

    def commit_succeeded(self) -> None:
        self._commit = ""

    def broke(self, reason: str) -> None:
        """Something happened that no later success undoes: it takes a person, and a start."""
        if not self._broken:
            self._broken = reason
            log.critical("%s: nothing is accepted or sent any more", reason)

    @property
    def commits(self) -> bool:
        """Whether the last commit succeeded."""
        return not self._commit

    @property
    def takes_mail(self) -> bool:
        """Whether new mail may be written, or only what becomes of the mail that there is."""
        return self._ballast.held and not self._broken

    def look(self) -> Health:
        now = self._clock.steady()
        if self._looked_at is None or not 0 <= now - self._looked_at < LOOK_SECONDS:
            self._looked_at = now
            self._disk = self._look_at_disk()
        reason = self._broken or self._commit or self._without_ballast() or self._disk
        return Health(False, reason) if reason else HEALTHY

    def _without_ballast(self) -> str:
        if self._ballast.held:
            return ""
        return f"disk of {self._path} is full: there is no room for {self._ballast.path.name}"

    def _look_at_disk(self) -> str:
        try:
            for path, inode in self._files.items():
                if path.stat().st_ino != inode:
                    return f"database {path} was replaced by another file"
            self._look_at_log(self._wal.stat().st_size)
            disk = os.statvfs(self._path)
        except OSError as error:
            return f"database {error.filename or self._path}: {error.strerror}"
        free = disk.f_bavail * disk.f_frsize
        if free < self._min_free_bytes:
            return (
                f"disk of {self._path} is low: {free} bytes free, {self._min_free_bytes} required"
            )
        return ""

    def _look_at_log(self, size: int) -> None:
        """Say so when it is long, and again each time it has doubled."""
        if size < self._log_bytes:
            self._log_bytes = max(LONG_LOG_BYTES, min(self._log_bytes, 2 * size))
            return
        self._log_bytes = 2 * size
        log.warning(
            "%s has %d bytes: another program reads the database for so long that it cannot be"
            " brought into the database; end that reading, it takes up disk",
            self._wal,
            size,
        )
