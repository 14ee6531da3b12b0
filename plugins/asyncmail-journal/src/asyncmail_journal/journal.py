"""The journal: sequence numbers without gaps or repeats, rotation, and an account of what was lost."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from asyncmail.clock import Clock
from asyncmail.errors import AsyncmailError
from asyncmail.model import Event
from asyncmail_journal import record, rotated
from asyncmail_journal.file import CurrentFile, is_disk_full
from asyncmail_journal.record import LOST, REPAIRED, Note
from asyncmail_journal.settings import JournalSettings

GROUP_BYTES = 65_536  # of one write


class Journal:
    """Writes lines; all methods block and belong in one thread.

    ``on_rotated()`` is called when a file was put aside.
    """

    def __init__(
        self,
        settings: JournalSettings,
        clock: Clock,
        log: logging.Logger,
        on_rotated: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._path = settings.path
        self._clock = clock
        self._log = log
        self._on_rotated = on_rotated
        self._file: CurrentFile | None = None
        self._seq = 0  # of the last line
        self._lost = 0  # events since that line
        self._failure = ""  # what was complained of last; empty while all is well
        self._is_stuck = False  # the file should be rotated, but cannot be

    def open(self) -> None:
        """Find the end of the journal. A disk that is full does not keep the service from starting.

        Raises ``OSError``, and ``ConfigurationError`` if the file is not the journal's own.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._seq = max((one.last for one in rotated.listed(self._path)), default=0)
        try:
            file = self._opened()
        except OSError as error:
            if not is_disk_full(error):
                raise
            self._complain(error)
            return
        if file.last is not None:
            self._seq = max(self._seq, file.last.seq)
        if file.cut:
            self._log.warning("journal %s: cut off a torn end, %d bytes", self._path, file.cut)
            self.write([Note(REPAIRED, file.cut)])

    def write(self, items: Iterable[Event | Note]) -> None:
        """Write events in this order; what cannot be written is counted, and the next line that can be
        written is preceded by one that says how many are missing."""
        waiting = deque(items)
        while waiting:
            if self._lost:
                waiting.appendleft(Note(LOST, self._lost))
                self._lost = 0
            self._append(self._next_group(waiting))

    def close(self) -> None:
        if self._lost:
            lost, self._lost = self._lost, 0
            self.write([Note(LOST, lost)])
        if self._file is not None:
            self._file.close()
            self._file = None

    def _next_group(self, waiting: deque[Event | Note]) -> list[tuple[bytes, int]]:
        """Lines for one write that fit into the current file, each with how many events it stands for."""
        group: list[tuple[bytes, int]] = []
        size = 0
        while waiting:
            item = waiting[0]
            seq = self._seq + len(group) + 1
            if isinstance(item, Note):
                line, worth = record.of_note(seq, item, self._clock.wall()), item.lost
            else:
                line, worth = record.of_event(seq, item), 1
            if not group and (self._is_old() or not self._has_room(len(line))):
                self._rotate()
            more = size + len(line)
            if group and (more > GROUP_BYTES or not self._has_room(more)):
                break
            waiting.popleft()
            group.append((line, worth))
            size += len(line)
        return group

    def _append(self, group: list[tuple[bytes, int]]) -> None:
        count = 0
        error: Exception | None = None
        try:
            file = self._opened()
            count, error = file.append([line for line, _ in group], fsync=self._settings.fsync)
        except (OSError, AsyncmailError) as raised:
            error = raised
        self._seq += count
        self._lost += sum(worth for _, worth in group[count:])
        if error is not None:
            self._complain(error)
        elif self._failure:
            self._log.warning("journal %s: can be written again", self._path)
            self._failure = ""

    # --- rotation ---

    def _has_room(self, more: int) -> bool:
        size = 0 if self._file is None else self._file.size
        return size + more <= self._settings.max_bytes

    def _is_old(self) -> bool:
        if self._file is None or self._file.first is None:
            return False
        age = self._clock.wall() - self._file.first.ts
        return 0 < self._settings.max_age_seconds <= age

    def _rotate(self) -> None:
        """Put the file aside; if that fails, go on in it and try again with the next write."""
        file = self._file
        if file is None or file.first is None or file.last is None:
            return
        target = rotated.name_for(self._path, file.first.seq, file.last.seq)
        try:
            self._path.rename(target)
        except OSError as error:
            if not self._is_stuck:
                self._log.error("journal %s cannot be rotated: %s; it grows", self._path, error)
            self._is_stuck = True
            return
        self._is_stuck = False
        file.close()
        self._file = None
        self._on_rotated()

    def _opened(self) -> CurrentFile:
        if self._file is None:
            self._file = CurrentFile.open(self._path)
            if self._settings.fsync:
                _sync_folder(self._path.parent)
        return self._file

    def _complain(self, error: Exception) -> None:
        """Once for each kind of failure, not for each event."""
        if str(error) != self._failure:
            self._failure = str(error)
            self._log.error(
                "journal %s cannot be written: %s; events are counted and left out until it can",
                self._path,
                error,
            )


def _sync_folder(folder: Path) -> None:
    """A rename and a new name last only when their folder is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
