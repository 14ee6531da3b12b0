"""Fetching the attachments of a message from the sources that have them, the same content every time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Sequence
from functools import partial

from asyncmail.errors import AttachmentError, AttemptRevoked
from asyncmail.model import Attachment, AttachmentReference, Message
from asyncmail.plugins.guard import (
    ATTACHMENT_DEADLINE,
    ExtensionFailed,
    ExtensionQuarantined,
    ExtensionTimeout,
    Guard,
)
from asyncmail.plugins.interfaces import AttachmentSource
from asyncmail.plugins.kinds import Loaded
from asyncmail.store.base import Claim, Store


class Fetcher:
    """Asks the sources in their configured order; the first that handles a reference fetches it."""

    def __init__(
        self, store: Store, sources: Sequence[Loaded[AttachmentSource]], guard: Guard
    ) -> None:
        self._store = store
        self._sources = sources
        self._guard = guard

    async def fetch(self, claim: Claim, message: Message) -> list[Attachment]:
        """All attachments at once; the content seen first is the content for good.

        Raises ``AttachmentError``, or ``AttemptRevoked`` if the claim is lost.
        """
        if not message.attachments:
            return []
        fetched = await _all_or_first_error(
            [self._fetch_one(reference, message) for reference in message.attachments]
        )
        digests = {
            reference.storage_path: hashlib.sha256(attachment.content).hexdigest()
            for reference, attachment in zip(message.attachments, fetched, strict=True)
            if is_external(reference)
        }
        for path, digest in digests.items():
            if claim.digests.get(path, digest) != digest:
                raise AttachmentError(f"{path}: attachment changed", permanent=True)
        new = digests.keys() - claim.digests.keys()
        if new and not await self._store.keep_digests(claim, digests):
            raise AttemptRevoked(f"message '{claim.id}': the claim was lost")
        return fetched

    async def _fetch_one(self, reference: AttachmentReference, message: Message) -> Attachment:
        name = reference.filename
        source = self._source(reference)
        if source is None:
            raise AttachmentError(f"{name}: no source is configured for it", permanent=True)
        try:
            return await self._guard.call(
                source,
                partial(source.extension.fetch, reference, message),
                deadline=ATTACHMENT_DEADLINE,
                expect=_attachment,
            )
        except (ExtensionFailed, ExtensionTimeout, ExtensionQuarantined) as error:
            raise AttachmentError(f"{name}: {error}", permanent=False) from error

    def _source(self, reference: AttachmentReference) -> Loaded[AttachmentSource] | None:
        for source in self._sources:
            try:
                if self._guard.decide(source, partial(source.extension.handles, reference)):
                    return source
            except (ExtensionFailed, ExtensionQuarantined) as error:
                raise AttachmentError(f"{reference.filename}: {error}", permanent=False) from error
        return None


def _attachment(answer: object) -> Attachment:
    if not isinstance(answer, Attachment):
        raise TypeError(f"an Attachment was expected, not {type(answer).__name__}")
    return answer


async def _all_or_first_error(work: Sequence[Awaitable[Attachment]]) -> list[Attachment]:
    """Like gather, but nothing is left running behind an error."""
    tasks = [asyncio.ensure_future(w) for w in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


def is_external(reference: AttachmentReference) -> bool:
    """Whether the content is elsewhere than in the stored payload."""
    return not reference.storage_path.startswith("base64:")
