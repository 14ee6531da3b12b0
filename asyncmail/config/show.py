"""The settings as ``asyncmail config show`` prints them: value and origin of each, secrets masked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from asyncmail.config.settings import Settings

MASK = "********"
_SECRET_KEY = re.compile(r"passw|secret|token|credential|key$|dsn|auth", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Shown:
    """One line: ``server.port``, a value fit for JSON, and where it comes from."""

    key: str
    value: Any
    origin: str


def shown_settings(settings: Settings) -> list[Shown]:
    """Every key in the order of the contract, plugin tables last in their section."""
    return [Shown(key, value, settings.origin(key)) for key, value in _values(settings)]


def _values(settings: Settings) -> Iterator[tuple[str, Any]]:
    for section in type(settings).model_fields:
        for key, value in getattr(settings, section):
            if (section, key) == ("plugins", "tables"):
                for name, table in value.items():
                    for inner, leaf in table.items():
                        yield f"plugins.{name}.{inner}", _masked(inner, leaf)
            elif is_dataclass(value) and not isinstance(value, type):
                yield from ((f"{section}.{key}.{k}", v) for k, v in asdict(value).items())
            else:
                yield f"{section}.{key}", _plain(value)


def _plain(value: Any) -> Any:
    match value:
        case SecretStr():
            return MASK if value.get_secret_value() else ""
        case Enum():
            return value.value
        case Path():
            return str(value)
        case tuple():
            return list(value)
        case _:
            return value


def _masked(key: str, value: Any) -> Any:
    """A plugin's value: which ones are secret is known only by their names."""
    match value:
        case Mapping():
            return {inner: _masked(inner, leaf) for inner, leaf in value.items()}
        case str() if value and _SECRET_KEY.search(key):
            return MASK
        case str():
            return _URL_PASSWORD.sub(f"{MASK}@", value)
        case Sequence():
            return [_masked(key, leaf) for leaf in value]
        case None | bool() | int() | float():
            return value
        case _:
            return str(value)
