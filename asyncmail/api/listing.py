"""Going through stored messages page by page, as one JSON document or as an endless one (NDJSON)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from pydantic_core import to_json

from asyncmail.api.parts import ApiParts
from asyncmail.api.problems import WrongShape
from asyncmail.api.records import message_view
from asyncmail.store.base import Filter, Lane, MessageRecord

PAGE_BYTES = 8 * 2**20  # of payloads
STREAM_PAGE = 500  # messages read at once for a stream
STREAM_BYTES = 2**20
CURSOR = "[0-7][0-9a-f]{15}"  # whatever matches it leads somewhere
BREATH = 50  # messages after which other tasks get their turn


@dataclass(frozen=True, slots=True)
class Page:
    """Records already in JSON, and the cursor of what follows them."""

    records: Sequence[bytes]
    next_cursor: str | None

    def json(self) -> bytes:
        """The page as ``MessagesReply``."""
        tail = b"" if self.next_cursor is None else b',"next_cursor":' + to_json(self.next_cursor)
        return b'{"ok":true,"messages":[' + b",".join(self.records) + b"]" + tail + b"}"


async def read_page(parts: ApiParts, which: Filter, limit: int, cursor: str | None) -> Page:
    """At most ``limit`` messages and about 8 MiB of them."""
    after = key_of(cursor)
    found = await parts.store.messages(which, limit=limit, after_key=after, max_bytes=PAGE_BYTES)
    records = []
    for count, record in enumerate(found, 1):
        records.append(_json(parts, record))
        if count % BREATH == 0:
            await asyncio.sleep(0)
    if not found:
        return Page(records, None)
    last = found[-1].key
    more = await parts.store.messages(which, limit=1, after_key=last, max_bytes=1)
    return Page(records, cursor_of(last) if more else None)


async def stream(
    parts: ApiParts, which: Filter, limit: int | None, cursor: str | None
) -> AsyncIterator[bytes]:
    """One record a line, all of them or ``limit``; only a page is in memory at a time."""
    after = key_of(cursor)
    left = limit
    while left is None or left > 0:
        wanted = STREAM_PAGE if left is None else min(left, STREAM_PAGE)
        found = await parts.store.messages(
            which, limit=wanted, after_key=after, max_bytes=STREAM_BYTES
        )
        if not found:
            return
        for record in found:
            yield _json(parts, record) + b"\n"
        after = found[-1].key
        left = None if left is None else left - len(found)


def cursor_of(key: int) -> str:
    """A key of the store as text that promises nothing."""
    return f"{key:016x}"


def key_of(cursor: str | None) -> int:
    """The key behind a cursor; 0, before the first, without one. Raises ``WrongShape``."""
    if cursor is None:
        return 0
    if not re.fullmatch(CURSOR, cursor):
        raise WrongShape.at("cursor", "Input should be a next_cursor of an earlier answer")
    return int(cursor, 16)


def account_error(parts: ApiParts, record: MessageRecord) -> str | None:
    """Why the mail of this message's account waits, if it does."""
    return parts.scheduler.account_state(Lane(record.tenant_id, record.account_id)).last_error


def _json(parts: ApiParts, record: MessageRecord) -> bytes:
    return to_json(message_view(record, account_error(parts, record)))
