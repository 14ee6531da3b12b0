"""Between the event loop and the disk: a bounded buffer, emptied by the thread that writes."""

from __future__ import annotations

import logging
import threading

from asyncmail.model import Event
from asyncmail_journal.journal import Journal
from asyncmail_journal.record import LOST, Note

CAPACITY = 10_000  # events that may wait for a slow disk; later ones are dropped and counted


class Writer:
    """``put`` is called by the event loop and never waits for the disk; ``run`` is the thread's."""

    def __init__(self, journal: Journal, log: logging.Logger, *, capacity: int = CAPACITY) -> None:
        self._journal = journal
        self._log = log
        self._capacity = capacity
        self._changed = threading.Condition()
        self._buffer: list[Event | Note] = []
        self._overflow = 0  # dropped since the last one in the buffer
        self._closing = False

    def put(self, event: Event) -> None:
        with self._changed:
            if len(self._buffer) >= self._capacity:
                self._overflow += 1
                return
            self._buffer.append(event)
            self._changed.notify()

    def close(self) -> None:
        """What was put before is still written; then the thread ends."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def run(self) -> None:
        while (items := self._next()) is not None:
            try:
                self._journal.write(items)
            except Exception:  # whatever it is, later events are to be written
                self._log.exception("journal: %d events could not be written", len(items))
        self._journal.close()

    def _next(self) -> list[Event | Note] | None:
        """Everything that waits, once there is something; ``None`` at the end."""
        with self._changed:
            while not self._buffer and not self._closing:
                self._changed.wait()
            items, self._buffer = self._buffer, []
            if self._overflow:
                items.append(Note(LOST, self._overflow))
                self._overflow = 0
            return items or None
