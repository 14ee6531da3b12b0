"""Mail comes in, is looked at, and is taken back here."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from asyncmail.api.bodies import read_model
from asyncmail.api.listing import CURSOR, account_error, key_of, read_page, stream
from asyncmail.api.parts import ApiParts
from asyncmail.api.problems import faults
from asyncmail.api.records import history_view
from asyncmail.api.routes import READS, WRITES, add_route, json
from asyncmail.api.schemas import (
    MAX_BATCH,
    AddMessages,
    AddMessagesBody,
    AddMessagesReply,
    DeleteMessages,
    DeleteMessagesReply,
    MessageHistoryReply,
    MessagePayload,
    MessagesReply,
)
from asyncmail.intake import Entry
from asyncmail.model import DEFAULT_TENANT
from asyncmail.store.base import Filter, Removal, Status

NDJSON = "application/x-ndjson"
MAX_PAGE = 10_000
BREATH = 100  # messages after which other tasks get their turn
TOO_LARGE = frozenset({"too_long", "string_too_long"})  # as pydantic calls it
NOT_FINAL = frozenset(Status) - {Status.SENT, Status.ERROR}

Limit = Annotated[int | None, Query(ge=1, le=MAX_PAGE, description="1,000; of NDJSON: all")]
Statuses = Annotated[list[Status] | None, Query(description="may be repeated")]
ActiveOnly = Annotated[bool, Query(description="neither sent nor error")]
Cursor = Annotated[
    str | None,
    Query(description="`next_cursor` of a page", json_schema_extra={"pattern": f"^{CURSOR}$"}),
]
AccountId = Annotated[str | None, Query(max_length=128)]


def messages_router(parts: ApiParts) -> APIRouter:
    """``/messages`` and the commands that put messages in and take them back."""
    router = APIRouter(tags=["messages"])
    store = parts.store

    async def add_messages(request: Request) -> Response:
        """Validate and queue up to 1,000 messages; each is taken or rejected by itself.

        The answer comes after the commit. `queued` and the length of `rejected` add up to the number
        of messages. The same ids may be sent again after no answer or a 5xx.
        """
        batch = await read_model(request, AddMessages)
        entries = []
        for count, item in enumerate(batch.messages, 1):
            entries.append(entry_of(item))
            if count % BREATH == 0:
                await asyncio.sleep(0)
        accepted = await parts.intake.accept(
            DEFAULT_TENANT, entries, default_priority=batch.default_priority
        )
        reply: dict[str, Any] = {
            "ok": True,
            "queued": accepted.queued,
            "rejected": accepted.rejected,
        }
        if accepted.warnings:
            reply["warnings"] = accepted.warnings
        return json(reply)

    async def delete_messages(request: Request) -> Response:
        """Forget messages: waiting ones unreported, finished ones once they are acknowledged."""
        asked = await read_model(request, DeleteMessages)
        ids = list(dict.fromkeys(asked.ids))
        removals = dict(zip(ids, await store.remove_messages(DEFAULT_TENANT, ids), strict=True))
        by_outcome: dict[Removal, list[str]] = {removal: [] for removal in Removal}
        for message_id, removal in removals.items():
            by_outcome[removal].append(message_id)
        reply: dict[str, Any] = {
            "ok": True,
            "removed": len(by_outcome[Removal.REMOVED]),
            "not_found": by_outcome[Removal.NOT_FOUND],
        }
        refused = [
            {"id": message_id, "reason": removal.value}
            for removal in (Removal.IN_FLIGHT, Removal.UNREPORTED)
            for message_id in by_outcome[removal]
        ]
        if refused:
            reply["refused"] = refused
        return json(reply)

    async def list_messages(
        request: Request,
        status: Statuses = None,
        account_id: AccountId = None,
        active_only: ActiveOnly = False,
        limit: Limit = None,
        cursor: Cursor = None,
    ) -> Response:
        """Messages in the order of their arrival, as a page or, as NDJSON, all of them.

        A page ends at `limit` or at 8 MiB; `next_cursor` leads to the next one.
        """
        statuses = frozenset(status or Status)
        if active_only:
            statuses &= NOT_FINAL
        if not statuses:
            return json({"ok": True, "messages": []})
        every = len(statuses) == len(Status)
        which = Filter(DEFAULT_TENANT, account_id, frozenset() if every else statuses)
        if NDJSON in request.headers.get("accept", ""):
            key_of(cursor)  # refuse a bad one while there can be a status
            return StreamingResponse(stream(parts, which, limit, cursor), media_type=NDJSON)
        page = await read_page(parts, which, limit or MAX_BATCH, cursor)
        return Response(page.json(), media_type="application/json")

    async def get_message(message_id: str) -> Response:
        """One message with its attempts, the reply per recipient, and its reports."""
        history = await store.history(DEFAULT_TENANT, message_id)
        if history is None:
            raise HTTPException(404, "there is no message with this id")
        shown = history_view(history, account_error(parts, history.record))
        return json({"ok": True, **shown})

    add_route(
        router,
        "POST",
        "/commands/add-messages",
        add_messages,
        name="add_messages",
        reply=AddMessagesReply,
        errors=WRITES,
        body=AddMessagesBody,
    )
    add_route(
        router,
        "POST",
        "/commands/delete-messages",
        delete_messages,
        name="delete_messages",
        reply=DeleteMessagesReply,
        errors=WRITES,
        body=DeleteMessages,
    )
    add_route(
        router,
        "GET",
        "/messages",
        list_messages,
        name="list_messages",
        reply=MessagesReply,
        errors=(*READS, 422),
        content={NDJSON: {"schema": {"type": "string"}}},
    )
    add_route(
        router,
        "GET",
        "/messages/{message_id:path}",
        get_message,
        name="get_message",
        reply=MessageHistoryReply,
        errors=(*READS, 404, 422),
    )
    return router


def entry_of(item: Any) -> Entry:
    """One entry of a batch after the check of its shape; the reasons begin as the contract says."""
    if not isinstance(item, dict):
        return Entry(None, reason="invalid payload: a message should be an object")
    message_id = item.get("id")
    shown = message_id if isinstance(message_id, str) else None
    for name in ("id", "from", "to"):
        if _absent(item.get(name)):
            return Entry(shown, reason=f"missing {name}")
    try:
        payload = MessagePayload.model_validate(item)
    except ValidationError as error:
        return Entry(shown, reason=_reason(error))
    return Entry(shown, payload.stored())


def _absent(value: Any) -> bool:
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def _reason(error: ValidationError) -> str:
    """In the words of the contract; of a union's branches the one that was meant says what is wrong."""
    kinds = [e["type"] for e in error.errors(include_url=False, include_input=False)]
    large = [index for index, kind in enumerate(kinds) if kind in TOO_LARGE]
    fault = faults(error, "")[large[0] if large else 0]
    begin = "too large" if large else "invalid payload"
    return f"{begin}: {fault.pointer.lstrip('/')}: {fault.detail}"
