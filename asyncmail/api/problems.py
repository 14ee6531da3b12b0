"""Errors as the client sees them: RFC 9457 problem documents that never repeat what was sent."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from asyncmail.errors import StoreError, StoreUnavailable

MAX_ERRORS = 20
DEFAULT_RETRY_AFTER = 5.0  # seconds

log = logging.getLogger(__name__)


class ProblemError(BaseModel):
    """One fault of a request: what is wrong, and where (a JSON Pointer or a parameter's name)."""

    detail: str
    pointer: str


class Problem(BaseModel):
    """The body of every error (RFC 9457), media type ``application/problem+json``."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Unprocessable Content",
                "status": 422,
                "detail": "the request has the wrong shape: #/port: Input should be a valid integer",
                "errors": [{"detail": "Input should be a valid integer", "pointer": "#/port"}],
                "request_id": "9f86d081884c7d65",
            }
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[ProblemError] | None = Field(default=None, max_length=MAX_ERRORS)
    request_id: str


class ProblemResponse(Response):
    """A problem document as a response."""

    media_type = "application/problem+json"

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        request_id: str,
        errors: Sequence[ProblemError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        problem = Problem(
            title=_title(status),
            status=status,
            detail=detail,
            errors=list(errors[:MAX_ERRORS]) or None,
            request_id=request_id,
        )
        body = to_json(problem, exclude_none=True)
        super().__init__(body, status_code=status, headers=dict(headers or {}))


class WrongShape(Exception):
    """A request that can be parsed, but is not what this endpoint takes: 422."""

    def __init__(self, errors: Sequence[ProblemError]) -> None:
        super().__init__(errors[0].detail)
        self.errors = errors

    @classmethod
    def at(cls, pointer: str, detail: str) -> WrongShape:
        return cls([ProblemError(detail=detail, pointer=pointer)])

    @classmethod
    def of(cls, error: ValidationError, prefix: str = "#") -> WrongShape:
        return cls(faults(error, prefix))


def faults(error: ValidationError, prefix: str = "#") -> list[ProblemError]:
    """The first faults of a value. Neither the value nor a key of the sender's own is repeated."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [
        ProblemError(detail=plain(e["msg"]), pointer=_pointer(prefix, e["loc"]))
        for e in found[:MAX_ERRORS]
    ]


def plain(message: str) -> str:
    """Pydantic's words without the prefix it gives to our own."""
    return message.removeprefix("Value error, ")


def request_id(request: Request) -> str:
    """The id that the reply carries in ``X-Request-ID`` and the log names."""
    return str(request.scope.get("state", {}).get("request_id", ""))


def retry_after(seconds: float) -> dict[str, str]:
    """The header that tells when to come again, in whole seconds."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def install_problems(app: FastAPI) -> None:
    """Answer every error of ``app`` with a problem document."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _parameters)
    app.add_exception_handler(WrongShape, _wrong_shape)
    app.add_exception_handler(StoreError, _store)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - the handler is registered for it
    return ProblemResponse(
        error.status_code, error.detail, request_id=request_id(request), headers=error.headers
    )


async def _parameters(request: Request, error: Exception) -> Response:
    """Query parameters; bodies are checked by the endpoints themselves."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
    errors = [
        ProblemError(detail=plain(e["msg"]), pointer=str(e["loc"][1]))
        for e in error.errors()[:MAX_ERRORS]
    ]
    return _shape_problem(request, errors)


async def _wrong_shape(request: Request, error: Exception) -> Response:
    assert isinstance(error, WrongShape)  # noqa: S101 - as above
    return _shape_problem(request, error.errors)


def _shape_problem(request: Request, errors: Sequence[ProblemError]) -> Response:
    first = errors[0]
    detail = f"the request has the wrong shape: {first.pointer}: {first.detail}"
    return ProblemResponse(422, detail, request_id=request_id(request), errors=errors)


async def _store(request: Request, error: Exception) -> Response:
    """What the store cannot do now may be tried again; why is for the operator, save our own words."""
    seconds = DEFAULT_RETRY_AFTER
    detail = "the database cannot be used now; nothing of this request was kept"
    if isinstance(error, StoreUnavailable):
        seconds = error.retry_after
        detail = f"{error}; nothing of this request was kept"
    log.warning("request %s answered 503: %s", request_id(request), error)
    return ProblemResponse(
        503, detail, request_id=request_id(request), headers=retry_after(seconds)
    )


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _pointer(prefix: str, path: Sequence[int | str]) -> str:
    """Field names and indexes. A name right behind a name is a key that the sender made up, or one of
    pydantic's labels for the branches of a union: the path ends before it."""
    steps = [prefix]
    before: int | str = 0
    for step in path:
        if isinstance(before, str) and isinstance(step, str):
            break
        steps.append(str(step))
        before = step
    return "/".join(steps)
