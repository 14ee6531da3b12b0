"""An observer for asyncmail that writes every event to JSON Lines files."""

from __future__ import annotations

from collections.abc import Iterable

from asyncmail import Observer, Offer, hookimpl
from asyncmail_journal.observer import JournalObserver
from asyncmail_journal.settings import JournalSettings

__all__ = ["JournalObserver", "JournalSettings"]


@hookimpl
def asyncmail_observers() -> Iterable[Offer[Observer]]:
    return (Offer("journal", JournalObserver, settings=JournalSettings),)
