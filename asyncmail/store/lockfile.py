"""The lock beside a database file: one process at a time, and the memory of which database it was."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from asyncmail.errors import DatabaseHeld, DatabaseUnusable

ENTRY_BYTES = 512


class LockFile:
    """``<database>.lock``, held by ``flock`` until ``release``.

    It stays behind when the process ends, with the database's id: a database that is gone, or was
    exchanged for another one, is then noticed instead of silently replaced by an empty queue.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self.path = database.with_name(database.name + ".lock")
        self._fd: int | None = None
        self.database_id: str | None = None

    def acquire(self) -> None:
        """Take the lock. Raises ``DatabaseHeld`` with the holder's name, ``DatabaseUnusable``."""
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DatabaseUnusable(
                f"database {self._database}: cannot write {self.path}: {error.strerror}",
                hint="the folder must exist and belong to the service",
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read(fd)
            os.close(fd)
            raise DatabaseHeld(
                f"database {self._database} is held by process {holder.get('pid', 'unknown')} "
                f"on {holder.get('host', 'unknown')} since {_moment(holder.get('since'))}",
                hint="stop that one first, or give this one a database of its own",
            ) from None
        self._fd = fd
        os.fchmod(fd, 0o600)
        self.database_id = _read(fd).get("database")
        self._write()

    def remember(self, database_id: str) -> None:
        """Keep the id of the database, for ever."""
        self.database_id = database_id
        self._write()

    def release(self) -> None:
        """Let the lock go; the file and the id stay."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _write(self) -> None:
        """One write of always the same length, so that a crash never leaves half of an entry."""
        assert self._fd is not None  # noqa: S101 - only called by the holder
        entry = {
            "database": self.database_id,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": int(time.time()),
        }
        os.pwrite(self._fd, json.dumps(entry).ljust(ENTRY_BYTES - 1).encode() + b"\n", 0)
        os.fsync(self._fd)


def _read(fd: int) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        entry = json.loads(os.pread(fd, 4096, 0))
        if isinstance(entry, dict):
            return entry
    return {}


def _moment(since: object) -> str:
    if not isinstance(since, int):
        return "an unknown time"
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(since))
