"""A retention policy for asyncmail that archives messages before they are deleted."""

from __future__ import annotations

from collections.abc import Iterable

from asyncmail import Offer, Retention, hookimpl
from asyncmail_archive.retention import Archive
from asyncmail_archive.settings import ArchiveSettings

__all__ = ["Archive", "ArchiveSettings"]


@hookimpl
def asyncmail_retention() -> Iterable[Offer[Retention]]:
    return (Offer("archive", Archive, settings=ArchiveSettings),)
