"""What the command needs of the service's configuration: the sink's settings, the API's address."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from asyncmail.errors import ConfigurationError
from asyncmail_webhook.settings import WebhookSettings

DEFAULT_FILE = Path("asyncmail.toml")
PREFIX = "ASYNCMAIL_PLUGINS__WEBHOOK__"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to call it, not to listen


@dataclass(frozen=True, slots=True)
class Configuration:
    """``service``: the URL of its REST API. ``token``: its API token, which may be empty."""

    settings: WebhookSettings
    service: str
    token: str = field(repr=False)


def read(path: Path | None, environ: Mapping[str, str]) -> Configuration:
    """Read a TOML file (by default ``ASYNCMAIL_CONFIG``, then ``asyncmail.toml``, if it is there) and,
    before it, the environment. Raises ``ConfigurationError``, which never shows a value."""
    if path is None and "ASYNCMAIL_CONFIG" in environ:
        path = Path(environ["ASYNCMAIL_CONFIG"])
    tree = _tree(path) if path is not None or DEFAULT_FILE.exists() else {}
    server = tree.get("server", {})
    host = environ.get("ASYNCMAIL_SERVER__HOST", server.get("host", "127.0.0.1"))
    port = environ.get("ASYNCMAIL_SERVER__PORT", server.get("port", 8000))
    host = _EVERYWHERE.get(host, host)
    service = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    token = environ.get("ASYNCMAIL_SERVER__API_TOKEN") or environ.get("API_TOKEN")
    table = tree.get("plugins", {}).get("webhook", {}) | _from(environ)
    try:
        settings = WebhookSettings.model_validate(table)
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_input=False, include_context=False)
        words = "; ".join(f"{'.'.join(map(str, m['loc']))}: {m['msg']}" for m in mistakes)
        raise ConfigurationError(f"[plugins.webhook]: {words}") from None
    return Configuration(settings, service, token or server.get("api_token", ""))


def _tree(path: Path | None) -> dict[str, Any]:
    path = path or DEFAULT_FILE
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error


def _from(environ: Mapping[str, str]) -> dict[str, Any]:
    """The sink's settings in the environment; lists are JSON, as the service reads them."""
    found: dict[str, Any] = {}
    for name, text in environ.items():
        if name.startswith(PREFIX):
            try:
                value = json.loads(text) if text.lstrip().startswith("[") else text
            except ValueError as error:
                raise ConfigurationError(f"environment {name} is not JSON: {error}") from error
            found[name.removeprefix(PREFIX).lower()] = value
    return found
