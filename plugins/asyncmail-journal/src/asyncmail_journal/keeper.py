"""Keeps the rotated files in order, in a thread apart from writing: compressing takes its time."""

from __future__ import annotations

import logging
import threading

from asyncmail_journal import rotated
from asyncmail_journal.settings import JournalSettings


class Keeper:
    """``wake`` asks for a round; ``run`` is the thread's."""

    def __init__(self, settings: JournalSettings, log: logging.Logger) -> None:
        self._settings = settings
        self._log = log
        self._wanted = threading.Event()
        self._closing = False

    def wake(self) -> None:
        self._wanted.set()

    def close(self) -> None:
        """The thread ends soon, whatever is left to do; the next start goes on with it."""
        self._closing = True
        self._wanted.set()

    def run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._closing:
                return
            try:
                rotated.tidy(
                    self._settings.path,
                    keep=self._settings.keep,
                    compress=self._settings.compress,
                    is_over=lambda: self._closing,
                )
            except OSError as error:
                self._log.warning(
                    "journal %s: rotated files are left as they are: %s", self._settings.path, error
                )
