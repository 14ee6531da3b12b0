"""Reading a JSON body: the bytes once, the text strictly, the numbers within reason."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from asyncmail.api.problems import WrongShape

BODY_SECONDS = 60.0  # for a body to arrive whole
MAX_DEPTH = 200
MAX_DIGITS = 4000  # of an integer; Python refuses to convert more than 4,300
OUT_OF_RANGE = 10**30  # stands for an integer longer than that; no field takes either
SECOND_LOOK = ("hex escape", "surrogate", "number out of range")

ModelT = TypeVar("ModelT", bound=BaseModel)


async def read_json(request: Request, *, empty: Any = None) -> Any:
    """The body as JSON (RFC 8259); of a repeated key the last value counts.

    ``empty``: what an empty body means; ``None``: it is an error. A body without a Content-Type is
    read as JSON. Raises ``HTTPException`` 400 (cannot be parsed), 408, 413 or 415.
    """
    body = await _read(request)
    if not body and empty is not None:
        return empty
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("", "application/json") and not kind.endswith("+json"):
        raise HTTPException(415, "the body must be JSON: Content-Type application/json, or none")
    return parse(body)


async def read_model(request: Request, model: type[ModelT], *, empty: Any = None) -> ModelT:
    """The body as a model; raises ``WrongShape`` where it is another thing."""
    value = await read_json(request, empty=empty)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise WrongShape.of(error) from None


async def _read(request: Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.body()
    except TimeoutError:
        raise HTTPException(408, f"the body did not arrive within {BODY_SECONDS:g} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "the connection was closed before the body was complete") from None


def parse(body: bytes) -> Any:
    """Strict and fast; a body with oddities that concern single values gets a second look."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        if not any(words in str(error) for words in SECOND_LOOK):
            raise HTTPException(400, f"the body is not JSON: {error}") from None
    return _parse_tolerant(body)


def _parse_tolerant(body: bytes) -> Any:
    """Lone surrogates and endless integers fail the message that has them, not the whole batch."""
    try:
        value = json.loads(body.decode(), parse_constant=_refuse_constant, parse_int=_integer)
        shallow = _depth_at_most(value, MAX_DEPTH)
    except ValueError:
        raise HTTPException(400, "the body is not JSON in UTF-8") from None
    except RecursionError:
        shallow = False
    if not shallow:
        raise HTTPException(400, f"the body is nested more than {MAX_DEPTH} deep")
    return value


def _integer(digits: str) -> int:
    return int(digits) if len(digits) <= MAX_DIGITS else OUT_OF_RANGE


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _depth_at_most(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        level = [
            child
            for parent in level
            if isinstance(parent, (list, dict))
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return True
    return False
