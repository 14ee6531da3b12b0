"""Checking the settings of an extension against its own model, in words that an operator can use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from asyncmail.errors import ConfigurationError
from asyncmail.plugins.failures import describe

MAX_SHOWN = 5  # mistakes in one message


def validated(model: type[BaseModel], values: Mapping[str, Any], *, whose: str) -> BaseModel:
    """The settings as the model understands them.

    Raises ``ConfigurationError``, which names ``whose`` settings they are and each wrong key, but never
    a value: it may be a secret.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_input=False, include_context=False)
        words = "; ".join(_mistake(model, mistake) for mistake in mistakes[:MAX_SHOWN])
        raise ConfigurationError(f"{whose}: {words}") from None
    except Exception as error:
        raise ConfigurationError(f"{whose}: checking them failed: {describe(error)}") from error


def secrets_in(value: object) -> Iterator[str]:
    """Every secret inside settings, at any depth."""
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case SecretBytes():
            yield value.get_secret_value().decode(errors="replace")
        case BaseModel():
            for _, inner in value:
                yield from secrets_in(inner)
        case Mapping():
            for inner in value.values():
                yield from secrets_in(inner)
        case list() | tuple() | set() | frozenset():
            for inner in value:
                yield from secrets_in(inner)


def suggestion(name: str, known: Mapping[str, Any]) -> str:
    """``did you mean 'x'?``, or nothing."""
    close = get_close_matches(name, known, n=1)
    return f"did you mean '{close[0]}'?" if close else ""


def _mistake(model: type[BaseModel], mistake: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in mistake["loc"]) or "as a whole"
    if mistake["type"] != "extra_forbidden":
        return f"{key}: {mistake['msg']}"
    hint = suggestion(key, model.model_fields)
    return f"{key}: unknown key" + (f", {hint}" if hint else "")
