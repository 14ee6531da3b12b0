"""The observer ``journal``: takes events from the service at once, and leaves the rest to threads."""

from __future__ import annotations

import asyncio

from asyncmail import Context, Event, Observer
from asyncmail_journal.journal import Journal
from asyncmail_journal.keeper import Keeper
from asyncmail_journal.settings import JournalSettings
from asyncmail_journal.worker import Worker
from asyncmail_journal.writer import Writer


class JournalObserver(Observer):
    """Writes every event to ``path``, in the order in which they come."""

    def __init__(self, settings: JournalSettings, context: Context) -> None:
        self._keeper = Keeper(settings, context.logger)
        self._journal = Journal(settings, context.clock, context.logger, self._keeper.wake)
        self._writer = Writer(self._journal, context.logger)
        self._workers: list[Worker] = []

    async def start(self) -> None:
        """Open the journal; one that is not ours, or cannot be written, stops the start."""
        await asyncio.to_thread(self._journal.open)
        self._workers = [
            Worker("asyncmail-journal", self._writer.run),
            Worker("asyncmail-journal-keeper", self._keeper.run),
        ]
        self._keeper.wake()  # the last run may have left something to do

    async def stop(self) -> None:
        """Write what waits; compressing is left for the next start."""
        self._writer.close()
        self._keeper.close()
        for worker in self._workers:
            await worker.ended()
        self._workers = []

    async def notice(self, event: Event) -> None:
        self._writer.put(event)
