"""The commands that steer the service: run-now, suspend, activate, cleanup-messages; and its status."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from asyncmail.api.bodies import read_model
from asyncmail.api.parts import ApiParts
from asyncmail.api.routes import READS, WRITES, add_route, json
from asyncmail.api.schemas import Active, CleanupMessages, CleanupReply, Ok


def commands_router(parts: ApiParts) -> APIRouter:
    """Routes below ``/commands``, and ``/status``."""
    router = APIRouter(tags=["commands"])
    scheduler = parts.scheduler

    async def status() -> Response:
        """Whether sending is on."""
        return json(Active(active=scheduler.active))

    async def run_now() -> Response:
        """Wake dispatch and reports at once, without waiting for what they do."""
        scheduler.run_now()
        return json(Ok())

    async def suspend() -> Response:
        """Stop sending, also across restarts. Accepting and reporting go on."""
        await scheduler.suspend()
        return json(Active(active=scheduler.active))

    async def activate() -> Response:
        """Go on sending."""
        await scheduler.activate()
        return json(Active(active=scheduler.active))

    async def cleanup_messages(request: Request) -> Response:
        """Delete finished and acknowledged messages that are older than asked, or than configured."""
        asked = await read_model(request, CleanupMessages, empty={})
        return json(CleanupReply(removed=await scheduler.cleanup(asked.older_than_seconds)))

    add_route(router, "GET", "/status", status, name="get_status", reply=Active)
    add_route(router, "POST", "/commands/run-now", run_now, name="run_now", reply=Ok, errors=READS)
    add_route(router, "POST", "/commands/suspend", suspend, name="suspend", reply=Active)
    add_route(router, "POST", "/commands/activate", activate, name="activate", reply=Active)
    add_route(
        router,
        "POST",
        "/commands/cleanup-messages",
        cleanup_messages,
        name="cleanup_messages",
        reply=CleanupReply,
        errors=WRITES,
        body=CleanupMessages,
        body_required=False,
    )
    return router
