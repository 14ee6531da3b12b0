"""The settings of the sink, ``[plugins.webhook]``."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from asyncmail import PluginSettings
from asyncmail_webhook.events import EventType
from asyncmail_webhook.signing import key_of


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("should be a URL that begins with https:// and names a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("should not contain credentials")
    return url


def _checked_secret(secret: SecretStr) -> SecretStr:
    key_of(secret.get_secret_value())
    return secret


Secret = Annotated[SecretStr, AfterValidator(_checked_secret)]


class WebhookSettings(PluginSettings):
    """``[plugins.webhook]``; times in seconds.

    ``secret_previous``: while receivers change over to a new ``secret``, webhooks are signed with both.
    ``events``: which types are posted; results of other types are done with at once.
    ``allow_http``: plain HTTP to other machines, too. ``ca_file``: PEM file of the authorities that
    the receiver's certificate is checked against, instead of the system's.
    """

    url: Annotated[str, AfterValidator(_checked_url)]
    secret: Secret
    secret_previous: Secret | None = None
    events: frozenset[EventType] = Field(frozenset(EventType), min_length=1)
    timeout_seconds: float = Field(20.0, gt=0, le=60)
    concurrency: int = Field(8, ge=1, le=100)
    allow_http: bool = False
    ca_file: Path | None = None

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys to sign with, the current one first."""
        secrets = (self.secret, self.secret_previous)
        return tuple(key_of(secret.get_secret_value()) for secret in secrets if secret is not None)

    @model_validator(mode="after")
    def _is_private(self) -> Self:
        """A signature keeps nobody from reading along."""
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not (self.allow_http or _is_loopback(parts.hostname or "")):
            raise ValueError("url: plain http to another machine needs allow_http = true")
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
