"""Checks and readings of single values; each raises ``ValueError`` in words that follow the key."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr

from asyncmail.model import Priority, Timeouts

SQLITE = "sqlite:///"

T = TypeVar("T")


def parse_list(value: Any) -> Any:
    """Text as INI files and the environment hold lists: separated by commas, or a JSON list."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("["):
        try:
            return json.loads(text)
        except ValueError as error:
            raise ValueError(f"is not a JSON list: {error}") from None
    return [item.strip() for item in text.split(",")] if text else []


def unique(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names {', '.join(twice)} twice")
    if not all(names):
        raise ValueError("has an empty name in it")
    return names


def not_empty(items: tuple[T, ...]) -> tuple[T, ...]:
    if not items:
        raise ValueError("should name at least one")
    return items


def upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def parse_priority(value: Any) -> Any:
    """A number from 0 to 3, or its label in any case."""
    if isinstance(value, str):
        text = value.strip()
        if text.isdecimal():
            return int(text)
        try:
            return Priority[text.upper()]
        except KeyError:
            labels = ", ".join(f"{p.value} or {p.name.lower()}" for p in Priority)
            raise ValueError(f"should be one of: {labels}") from None
    return value


def positive_timeouts(timeouts: Timeouts) -> Timeouts:
    wrong = [name for name, seconds in asdict(timeouts).items() if not 0 < seconds < float("inf")]
    if wrong:
        raise ValueError(f"should be seconds greater than 0: {', '.join(wrong)}")
    return timeouts


def token(secret: SecretStr) -> SecretStr:
    """A token travels in an HTTP header, which cannot carry everything."""
    text = secret.get_secret_value()
    if not (text.isascii() and text.isprintable()):
        raise ValueError("should be printable ASCII: it travels in an HTTP header")
    if text != text.strip():
        raise ValueError("has blanks at its beginning or end, which HTTP would take away")
    return secret


def host_name(host: str) -> str:
    """An address to listen on: an IPv4 or IPv6 address, or a host name; no port, no URL."""
    if not host or any(c.isspace() or c in "/@[]" for c in host) or host.count(":") == 1:
        raise ValueError("should be a host name or an IP address alone, such as 127.0.0.1")
    return host


def http_url(url: str) -> str:
    """An http or https URL without credentials; empty is allowed and means: none."""
    if not url:
        return url
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() for c in url):
        raise ValueError("should be a URL that begins with http:// or https:// and names a host")
    if "@" in parts.netloc:
        raise ValueError(
            "should not contain credentials; use proxy_sync_user and proxy_sync_password,"
            " or proxy_sync_token"
        )
    return url


def sqlite_url(url: str) -> str:
    """``sqlite:///relative.db`` or ``sqlite:////absolute.db``."""
    scheme, found, _ = url.partition("://")
    if found and scheme != "sqlite":
        raise ValueError(f"names the database engine {scheme!r}; this release has only sqlite")
    name = url.removeprefix(SQLITE)
    if not url.startswith(SQLITE) or not name or name.endswith("/"):
        raise ValueError("should be sqlite:///relative.db or sqlite:////absolute/path.db")
    if name == ":memory:":
        raise ValueError("should name a file: a queue in memory would lose accepted messages")
    if "?" in name or "\0" in name:
        raise ValueError("should name a file without options behind it")
    return url


def sqlite_path(url: str) -> Path:
    return Path(url.removeprefix(SQLITE))
