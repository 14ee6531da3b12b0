"""Room set aside beside the database, so that results can be recorded when the disk is full."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

log: Final = logging.getLogger("asyncmail.store")

PIECE_BYTES = 1 << 20


class Ballast:
    """``<database>.ballast``, a file that is worth its size: deleted when a result finds no room.

    In WAL mode every change needs room, a deletion too; so what was done with mail that is on its way
    could not be written down on a full disk. ``size``: bytes, 0 for none. Its methods touch the disk.
    """

    def __init__(self, database: Path, size: int) -> None:
        self.path = database.with_name(database.name + ".ballast")
        self.held = size == 0  # or not needed
        self._size = size

    def prepare(self) -> None:
        """Before the database is opened, which takes room as well: hold it, or give it up."""
        if self._free() < self._size:
            self.give_up()
        elif self.path.exists() and self.path.stat().st_size == self._size:
            self.held = True
        else:
            self.path.unlink(missing_ok=True)
            self.restore()

    def give_up(self) -> None:
        """Let the database have the room."""
        if self._size and self.path.exists():
            self.path.unlink()
            log.error(
                "the disk of %s is full: %s (%d bytes) is given up to record results",
                self.path.parent,
                self.path.name,
                self._size,
            )
        self.held = not self._size

    def restore(self) -> bool:
        """Set it aside again, if as much is free beside it; whether it is held."""
        if self.held or self._free() < 2 * self._size:
            return self.held
        try:
            self._write()
        except OSError:
            self.path.unlink(missing_ok=True)
            return False
        self.held = True
        return True

    def _free(self) -> int:
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize

    def _write(self) -> None:
        """Bytes at random: file systems that compress would keep no room for zeros."""
        with open(self.path, "wb", opener=_for_the_owner) as file:
            for start in range(0, self._size, PIECE_BYTES):
                file.write(os.urandom(min(PIECE_BYTES, self._size - start)))


def _for_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
