"""Probes, which need no token, and the metrics, which do."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from asyncmail.api.auth import BY_HEADER_OR_BEARER
from asyncmail.api.parts import ApiParts
from asyncmail.api.problems import ProblemResponse, request_id, retry_after
from asyncmail.api.routes import READS, add_route, json
from asyncmail.api.schemas import Alive
from asyncmail.prometheus import CONTENT_TYPE


def health_router(parts: ApiParts) -> APIRouter:
    """``/health``, ``/livez`` and ``/readyz``; they tell nothing but whether it works."""
    router = APIRouter(tags=["health"])

    async def alive() -> Response:
        """The process answers."""
        return json(Alive())

    async def ready(request: Request) -> Response:
        """New mail would be taken; else 503 with the check that fails."""
        failing = _failing(parts)
        if failing is None:
            return json(Alive())
        return ProblemResponse(503, failing, request_id=request_id(request), headers=retry_after(5))

    add_route(
        router, "GET", "/health", alive, name="get_health", reply=Alive, errors=(), security=()
    )
    add_route(router, "GET", "/livez", alive, name="get_livez", reply=Alive, errors=(), security=())
    add_route(
        router, "GET", "/readyz", ready, name="get_readyz", reply=Alive, errors=(503,), security=()
    )
    return router


def metrics_router(parts: ApiParts) -> APIRouter:
    """``/metrics``."""
    router = APIRouter(tags=["health"])

    async def metrics() -> Response:
        """The metrics in the text format of Prometheus."""
        # media_type would get a second charset; the header is written as it is
        headers = {"Content-Type": CONTENT_TYPE}
        return Response(await parts.metrics.render(), headers=headers)

    add_route(
        router,
        "GET",
        "/metrics",
        metrics,
        name="get_metrics",
        errors=READS,
        content={"text/plain": {"schema": {"type": "string"}}},
        security=BY_HEADER_OR_BEARER,
    )
    return router


def _failing(parts: ApiParts) -> str | None:
    if parts.scheduler.draining:
        return "draining: the service is stopping"
    health = parts.store.health()
    return None if health.ok else f"store: {health.reason}"
