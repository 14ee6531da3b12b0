"""The policy ``archive``: how long messages are kept, and that they go only once they are archived."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from asyncmail import AsyncmailError, Context, Retention
from asyncmail.model import RetiredMessage
from asyncmail_archive.records import result_ts, volumes
from asyncmail_archive.settings import ArchiveSettings
from asyncmail_archive.storage import FAILURES, storage_of


class Archive(Retention):
    """``cutoff`` knows accounts; tags belong to a message, so ``release`` looks at them."""

    def __init__(self, settings: ArchiveSettings, context: Context) -> None:
        self._settings = settings
        self._clock = context.clock
        self._log = context.logger
        self._storage = storage_of(settings)

    async def start(self) -> None:
        await self._storage.open()

    async def stop(self) -> None:
        self._storage.close()

    def cutoff(self, now: float, account_id: str) -> float:
        if account_id in self._settings.hold_accounts:
            return float("-inf")
        return now - self._settings.accounts.get(account_id, self._settings.seconds)

    async def release(self, records: Sequence[RetiredMessage]) -> tuple[str, ...]:
        """The ids of those that may go and are archived; raises if that worked for none of them."""
        now = self._clock.wall()
        due = [record for record in records if self._is_due(record, now)]
        archived: list[str] = []
        why = ""
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                # One at a time: compressed in a thread, and never more than one in memory.
                pending = volumes(due)
                while (volume := await asyncio.to_thread(next, pending, None)) is not None:
                    await self._storage.write(volume.name, volume.data)
                    archived.extend(volume.ids)
        except TimeoutError:
            why = f"not done within {self._settings.timeout_seconds:g} s"
        except FAILURES as error:
            why = f"{type(error).__name__}: {error}".partition("\n")[0]
        if why:
            words = f"{len(due) - len(archived)} of {len(due)} messages were not archived: {why}"
            if not archived:
                raise AsyncmailError(words, hint="they are kept, and it is tried again")
            self._log.warning("%s; they are kept", words)
        return tuple(archived)

    def _is_due(self, record: RetiredMessage, now: float) -> bool:
        """Whether no hold and no tag keeps it; what its account says, the core has seen to."""
        tags = _tags(record)
        if record.account_id in self._settings.hold_accounts or tags & self._settings.hold_tags:
            return False
        keep = [self._settings.tags[tag] for tag in tags if tag in self._settings.tags]
        if not keep:
            return True
        since = result_ts(record) if record.reported_ts is None else record.reported_ts
        return since is not None and since < now - max(keep)


def _tags(record: RetiredMessage) -> frozenset[str]:
    tags = record.payload.get("tags")
    return frozenset(tag for tag in tags if isinstance(tag, str)) if tags else frozenset()
