"""What settings mean together: refusals and warnings that no single value shows."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from asyncmail.config.show import MASK, shown_settings
from asyncmail.errors import ConfigurationError

if TYPE_CHECKING:
    from asyncmail.config.settings import Settings

CLIENT_ANSWERS_WITHIN = 60  # seconds that a client may spend queueing mail before it answers a sync


class InvalidSettings(ConfigurationError):
    """The configuration has problems; ``problems`` names each of them in a line.

    ``settings`` is what remains without them: enough to look for more, nothing to start with.
    """

    def __init__(self, problems: Sequence[str], settings: Settings) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)
        self.settings = settings


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach what listens on ``host``."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_open_door(settings: Settings, *, insecure: bool) -> None:
    """Raise ``ConfigurationError`` if anybody on the network could use the API without a token."""
    if insecure or settings.server.tokens or is_loopback(settings.server.host):
        return
    raise ConfigurationError(
        f"[server] host is {settings.server.host} and no api_token is set, so anybody on the network"
        " could send mail",
        hint="set [server] api_token or API_TOKEN, listen on 127.0.0.1, or start with --insecure",
    )


def warnings(settings: Settings) -> tuple[str, ...]:
    """What is allowed, and probably not meant."""
    return tuple(_warnings(settings))


def _warnings(settings: Settings) -> Iterator[str]:
    server, delivery, client = settings.server, settings.delivery, settings.client
    yield from _open_files(settings)
    user, secret = client.proxy_sync_user, client.proxy_sync_password.get_secret_value()
    bearer = client.proxy_sync_token.get_secret_value()
    if server.docs == "token" and not server.tokens:
        yield '[server] docs = "token" has no effect without api_token'
    if server.max_body_bytes < delivery.max_message_bytes:
        yield (
            "[server] max_body_bytes is below [delivery] max_message_bytes: the largest messages"
            " will be refused with 413"
        )
    if not client.proxy_sync_url:
        return
    if "genropy" not in settings.plugins.sinks:
        yield "[client] proxy_sync_url is set, but [plugins] sinks does not name genropy"
    if client.sync_timeout_seconds <= CLIENT_ANSWERS_WITHIN:
        yield (
            f"[client] sync_timeout_seconds is {client.sync_timeout_seconds:g}, but the client may"
            f" take {CLIENT_ANSWERS_WITHIN} s to queue mail before it answers"
        )
    if bearer and user:
        yield "[client] proxy_sync_token is used; proxy_sync_user and its password are not"
    if secret and not user:
        yield "[client] proxy_sync_password is not used without proxy_sync_user"
    parts = urlsplit(client.proxy_sync_url)
    if parts.scheme == "http" and (bearer or user) and not is_loopback(parts.hostname or ""):
        yield "[client] proxy_sync_url sends its credentials over the network without https"


def _open_files(settings: Settings) -> Iterator[str]:
    """Files with secrets that every user of the machine may read."""
    holders = {
        row.origin.removeprefix("file ")
        for row in shown_settings(settings)
        if row.origin.startswith("file ") and MASK in str(row.value)
    }
    for name in sorted(holders):
        with suppress(OSError):
            if os.stat(name).st_mode & stat.S_IROTH:
                yield f"{name} holds secrets and every user of this machine may read it; chmod 640"
