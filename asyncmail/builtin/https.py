"""The attachment source ``https``: content from hosts that the operator allowed, and no others."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path

import httpx
from pydantic import Field, field_validator

from asyncmail import AttachmentError, AttachmentSource, PluginSettings
from asyncmail.builtin.content import DEFAULT_MAX_BYTES, check_md5, too_large
from asyncmail.builtin.pinned import ForbiddenAddress, PinnedTransport
from asyncmail.model import Attachment, AttachmentReference, Message

HTTPS_PORT = 443
CONNECTIONS = 20  # to one host

# What a server may say about now rather than about the content (408, 425, 429 and all of 5xx).
_PASSING = frozenset({408, 425, 429})
_is_type = re.compile(r"[a-z]+/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}").fullmatch

Host = tuple[str, int]


class HttpsSettings(PluginSettings):
    """``hosts``: names, or ``name:port`` for ports other than 443. ``max_bytes`` and
    ``timeout_seconds`` are of one fetch. ``allow_private``: hosts may have private and loopback
    addresses. ``ca_file``: certificates (PEM) of authorities to trust beside the public ones."""

    hosts: tuple[str, ...] = ()
    max_bytes: int = Field(default=DEFAULT_MAX_BYTES, gt=0)
    timeout_seconds: float = Field(default=30.0, gt=0, le=60)
    allow_private: bool = False
    ca_file: Path | None = None

    @field_validator("hosts")
    @classmethod
    def _plain(cls, hosts: Sequence[str]) -> tuple[str, ...]:
        for host in hosts:
            _host_of_setting(host)
        return tuple(hosts)


class Https(AttachmentSource):
    """``https://...``. Redirects are not followed, cookies not kept, proxies not used."""

    def __init__(self, settings: HttpsSettings) -> None:
        self._settings = settings
        self._clients: dict[Host, httpx.AsyncClient] = {}

    async def start(self) -> None:
        """One client for each host: connections are pooled by address, and two hosts may share one."""
        settings = self._settings
        if not settings.hosts:
            return
        context = await asyncio.to_thread(_trust, settings.ca_file)
        for host in settings.hosts:
            self._clients[_host_of_setting(host)] = httpx.AsyncClient(
                transport=PinnedTransport(
                    context, allow_private=settings.allow_private, connections=CONNECTIONS
                ),
                timeout=settings.timeout_seconds,
                headers={"Accept-Encoding": "identity", "Accept": "*/*"},
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                follow_redirects=False,
                trust_env=False,
            )

    async def stop(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    def handles(self, reference: AttachmentReference) -> bool:
        if reference.fetch_mode is not None:
            return reference.fetch_mode == "http_url"
        return reference.storage_path.lower().startswith(("https://", "http://"))

    async def fetch(self, reference: AttachmentReference, message: Message) -> Attachment:
        """Error texts name the host, not the URL, which may hold a key."""
        url, host = _checked_url(reference)
        client = self._clients.get(host)
        if client is None:
            raise _refused(reference, f"{host[0]}:{host[1]} is not an allowed host")
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                attachment = await self._get(client, url, host[0], reference)
        except TimeoutError:
            why = f"no answer from {host[0]} within {self._settings.timeout_seconds:g} s"
            raise _failed(reference, why) from None
        except ForbiddenAddress as error:
            raise _refused(reference, str(error)) from None
        except (httpx.HTTPError, OSError) as error:
            why = f"{host[0]}: {type(error).__name__}: {error}"
            raise _failed(reference, why) from None
        check_md5(attachment.content, reference)
        return attachment

    async def _get(
        self, client: httpx.AsyncClient, url: httpx.URL, host: str, reference: AttachmentReference
    ) -> Attachment:
        max_bytes = self._settings.max_bytes
        async with client.stream("GET", url) as response:
            status = response.status_code
            if status >= 500 or status in _PASSING:
                raise _failed(reference, f"{host} answered {status}")
            if status != 200:
                redirect = ", and redirects are not followed" if 300 <= status < 400 else ""
                raise _refused(reference, f"{host} answered {status}{redirect}")
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise _refused(reference, f"{host} compressed it against our wish")
            length = response.headers.get("Content-Length", "")
            if length.isdigit() and int(length) > max_bytes:
                raise too_large(reference, max_bytes)
            content = bytearray()
            async for block in response.aiter_raw():
                content += block
                if len(content) > max_bytes:
                    raise too_large(reference, max_bytes)
        return Attachment(bytes(content), _mime_type(response.headers.get("Content-Type", "")))


def _checked_url(reference: AttachmentReference) -> tuple[httpx.URL, Host]:
    try:
        url = httpx.URL(reference.storage_path)
    except (httpx.InvalidURL, TypeError, ValueError):
        raise _refused(reference, "not a URL") from None
    if url.scheme != "https":
        raise _refused(reference, "only https is allowed")
    if url.userinfo:
        raise _refused(reference, "a URL with credentials is not allowed")
    return url, (url.raw_host.decode("ascii"), url.port or HTTPS_PORT)


def _host_of_setting(text: str) -> Host:
    """Raises ``ValueError`` for what is not a host or ``host:port``."""
    try:
        url = httpx.URL(f"https://{text}")
    except httpx.InvalidURL as error:
        raise ValueError(f"'{text}' is not a host: {error}") from None
    host = url.raw_host.decode("ascii")
    plain = not (url.userinfo or url.query or url.fragment or url.raw_path != b"/")
    if not host or not plain or any(c in text for c in "*/?#@ "):
        raise ValueError(f"'{text}' should be a host or host:port")
    return host, url.port or HTTPS_PORT


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    context = httpx.create_ssl_context(trust_env=False)
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


def _mime_type(header: str) -> str | None:
    """What the server says, if it says anything and it can be the type of a single part."""
    mime_type = header.partition(";")[0].strip().lower()
    if not _is_type(mime_type) or mime_type == "application/octet-stream":
        return None
    return None if mime_type.startswith(("multipart/", "message/")) else mime_type


def _refused(reference: AttachmentReference, why: str) -> AttachmentError:
    return AttachmentError(f"{reference.filename}: {why}", permanent=True)


def _failed(reference: AttachmentReference, why: str) -> AttachmentError:
    return AttachmentError(f"{reference.filename}: {why}", permanent=False)
