"""The file that a journal is being written to: whole lines or nothing, even after a crash."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from asyncmail.errors import ConfigurationError
from asyncmail_journal import record
from asyncmail_journal.record import Place

MAX_TORN_BYTES = 1_048_576  # of a first line


@dataclass
class CurrentFile:
    """An open file, ``size`` bytes of whole lines; ``first`` and ``last`` of them, if there are any.

    ``cut``: bytes of a torn end that was removed when it was opened. All methods block.
    """

    descriptor: int
    size: int = 0
    first: Place | None = None
    last: Place | None = None
    cut: int = 0
    is_torn: bool = False  # bytes of a line that failed may lie behind ``size``

    @classmethod
    def open(cls, path: Path) -> CurrentFile:
        """Open or make the file, for its owner and this process alone, and repair its end.

        Raises ``OSError``, and ``ConfigurationError`` if it is in use or not a journal.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            _lock(descriptor, path)
            os.fchmod(descriptor, 0o600)
            found = _look_into(descriptor, path)
            if found.cut:
                os.ftruncate(descriptor, found.size)
        except BaseException:
            os.close(descriptor)
            raise
        return found

    def append(self, lines: Sequence[bytes], *, fsync: bool) -> tuple[int, OSError | None]:
        """How many of the lines are in the file now, and why not all of them."""
        data = b"".join(lines)
        done, error = 0, None
        try:
            self._mend()
            while done < len(data):
                done += os.write(self.descriptor, memoryview(data)[done:])
        except OSError as raised:
            error, self.is_torn = raised, True
            done = data.rfind(b"\n", 0, done) + 1
        if fsync and done:
            try:
                os.fsync(self.descriptor)
            except OSError as raised:
                error, self.is_torn = raised, True
                done = 0
        count = data.count(b"\n", 0, done)
        if count:
            self.first = self.first or record.read(lines[0])
            self.last = record.read(lines[count - 1])
            self.size += done
        with suppress(OSError):  # it is tried again before the next line
            self._mend()
        return count, error

    def close(self) -> None:
        with suppress(OSError):  # the next start does it then
            self._mend()
        os.close(self.descriptor)

    def _mend(self) -> None:
        if self.is_torn:
            os.ftruncate(self.descriptor, self.size)
            self.is_torn = False


def is_disk_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigurationError(
            f"journal {path} is in use by another process", hint="give each service its own path"
        ) from error


def _look_into(descriptor: int, path: Path) -> CurrentFile:
    """Find the last whole line; behind it is what a crash left. A foreign file is left as it is."""
    length = os.fstat(descriptor).st_size
    if not length:
        return CurrentFile(descriptor)
    with mmap.mmap(descriptor, length, access=mmap.ACCESS_READ) as content:
        first = record.read(content[: content.find(b"\n") + 1])
        if first is None:
            if not _is_torn_beginning(content):
                raise ConfigurationError(
                    f"{path} is not a journal, and was left as it is", hint="name another path"
                )
            return CurrentFile(descriptor, cut=length)
        end = length
        while True:  # the first line ends it at the latest
            start = content.rfind(b"\n", 0, end - 1) + 1
            last = record.read(content[start:end]) if content[end - 1] == 10 else None
            if last is not None:
                return CurrentFile(descriptor, end, first, last, length - end)
            end = start


def _is_torn_beginning(content: mmap.mmap) -> bool:
    """Whether this is what a crash left of the very first line: a part of it, or zeros."""
    if len(content) > MAX_TORN_BYTES or content.find(b"\n") >= 0:
        return False
    return record.BEGINNING.startswith(content[:].rstrip(b"\0")[: len(record.BEGINNING)])
