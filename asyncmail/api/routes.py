"""How routes are declared: a stable name in the OpenAPI document, its errors, and both spellings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.responses import Response

from asyncmail.api.auth import BY_HEADER
from asyncmail.api.problems import Problem

WORDS = {
    400: "The body cannot be parsed",
    401: "The API token is missing or wrong",
    404: "There is no such thing",
    408: "The body did not arrive in time",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "The request has the wrong shape",
    503: "Not now; nothing of the request was kept. Come again after Retry-After seconds",
}
READS = (401, 503)
WRITES = (400, 401, 408, 413, 415, 422, 503)


def add_route(
    router: APIRouter,
    method: str,
    path: str,
    endpoint: Callable[..., Any],
    *,
    name: str,
    reply: type[BaseModel] | None = None,
    errors: tuple[int, ...] = READS,
    body: type[BaseModel] | None = None,
    body_required: bool = True,
    content: dict[str, Any] | None = None,
    security: Sequence[str] = BY_HEADER,
) -> None:
    """Add one operation. ``name`` is its operation id for ever.

    ``body`` only documents what the endpoint reads by itself; ``content`` adds media types of the
    reply; ``security`` names the ways in, one of which is enough. The path works with a slash at its
    end, too: old clients write it that way.
    """
    problem = {"application/problem+json": {"schema": {"$ref": _ref(Problem)}}}
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": WORDS[status], "content": problem} for status in errors
    }
    responses[200] = {"description": (endpoint.__doc__ or "").partition("\n")[0] or "Done"}
    if reply is not None:
        responses[200]["model"] = reply
    if content is not None:
        responses[200]["content"] = content
    extra: dict[str, Any] = {}
    if security:
        extra["security"] = [{scheme: []} for scheme in security]
    if body is not None:
        schema = {"schema": {"$ref": _ref(body)}}
        extra["requestBody"] = {
            "required": body_required,
            "content": {"application/json": schema},
        }
    router.add_api_route(
        path,
        endpoint,
        methods=[method],
        operation_id=name,
        name=name,
        responses=responses,
        response_model=None,
        response_class=Response,
        openapi_extra=extra,
    )
    if not path.endswith("}"):
        router.add_api_route(
            f"{path}/",
            endpoint,
            methods=[method],
            response_model=None,
            include_in_schema=False,
        )


def json(value: Any) -> Response:
    """A reply in JSON; models leave out what is optional and absent."""
    return Response(to_json(value), media_type="application/json")


def _ref(model: type[BaseModel]) -> str:
    return f"#/components/schemas/{model.__name__}"
