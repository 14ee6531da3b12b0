"""The built-in sink ``genropy``: posts results to a Genropy application and reads what it answers.

It is a pull protocol: the application queues mail from inside these calls, so they are made even when
there is nothing to report, and may take a minute.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import zlib
from collections.abc import Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import Field, SecretStr, field_validator

from asyncmail import (
    Ack,
    Context,
    Offer,
    PluginSettings,
    Sink,
    SinkRefused,
    SinkUnavailable,
    hookimpl,
)
from asyncmail.model import Report

MAX_ANSWER_BYTES = 1 << 20
NOTHING = "::NN"  # how the Genropy of 2025 writes "no value"; its answer to every report
REFUSALS = frozenset({400, 413, 422})
RETRY_LATER = frozenset({429, 503})
LAST_TS = 253402300799.0  # the end of the year 9999


class GenropySettings(PluginSettings):
    """The keys of ``[client]`` that concern the calls; times in seconds."""

    proxy_sync_url: str
    proxy_sync_user: str = ""
    proxy_sync_password: SecretStr = SecretStr("")
    proxy_sync_token: SecretStr = SecretStr("")
    sync_timeout_seconds: float = Field(90.0, gt=0)
    idle_sync_seconds: float = Field(300.0, gt=0)

    @field_validator("proxy_sync_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                "should be a URL that begins with http:// or https:// and names a host"
            )
        if parts.username is not None or parts.password is not None:
            raise ValueError("should not contain credentials")
        return url

    @field_validator("proxy_sync_token")
    @classmethod
    def _fits_a_header(cls, token: SecretStr) -> SecretStr:
        text = token.get_secret_value()
        if not (text.isascii() and text.isprintable()):
            raise ValueError("should be printable ASCII: it travels in an HTTP header")
        return token

    @property
    def authorization(self) -> str | None:
        """The value of the Authorization header: Bearer if there is a token, else Basic."""
        token = self.proxy_sync_token.get_secret_value()
        if token:
            return f"Bearer {token}"
        if not self.proxy_sync_user:
            return None
        pair = f"{self.proxy_sync_user}:{self.proxy_sync_password.get_secret_value()}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"


class GenropySink(Sink):
    """One POST per list of reports; nothing but a proper answer acknowledges."""

    max_batch = 1000

    def __init__(self, settings: GenropySettings, context: Context) -> None:
        self._settings = settings
        self._clock = context.clock
        self._log = context.logger
        self._client: httpx.AsyncClient | None = None
        self._seconds = settings.sync_timeout_seconds
        self.timeout = self._seconds + 1.0  # the sink's own words about a timeout come first
        self.poll_seconds = settings.idle_sync_seconds

    async def start(self) -> None:
        url = urlsplit(self._settings.proxy_sync_url)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        authorization = self._settings.authorization
        if authorization:
            headers["Authorization"] = authorization
            if url.scheme == "http" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
                self._log.warning("credentials go to %s without encryption: http", url.hostname)
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=self._seconds,
            verify=ssl.create_default_context(),
            follow_redirects=False,
            trust_env=False,
        )

    async def stop(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def deliver(self, reports: Sequence[Report]) -> Ack:
        body = json.dumps({"delivery_report": [_entry(report) for report in reports]})
        try:
            async with asyncio.timeout(self._seconds):
                content = await self._post(body)
        except TimeoutError:
            raise SinkUnavailable(f"no answer within {self._seconds:g} s") from None
        except httpx.HTTPError as error:
            words = f"{type(error).__name__}: {error}".rstrip(": ")
            raise SinkUnavailable(f"the call failed: {words}") from error
        return self._acknowledgement(content, reports)

    async def _post(self, body: str) -> bytes:
        """The decoded body of a 2xx, cut off behind ``MAX_ANSWER_BYTES``."""
        if self._client is None:
            raise SinkUnavailable("the sink is not started")
        headers = {"Content-Type": "application/json"}
        content = bytearray()
        async with self._client.stream(
            "POST", self._settings.proxy_sync_url, content=body, headers=headers
        ) as response:
            _check_status(response, self._clock.wall())
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > MAX_ANSWER_BYTES:
                    break
        return _decoded(bytes(content), response.headers.get("Content-Encoding", ""))

    def _acknowledgement(self, content: bytes, reports: Sequence[Report]) -> Ack:
        """The table of answers with a status of 2xx."""
        if len(content) > MAX_ANSWER_BYTES:
            raise SinkUnavailable("the answer is longer than 1 MiB")
        if content.strip() == NOTHING.encode():
            return Ack()
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise SinkUnavailable("the answer is not a JSON object")
        for key in ("error", "not_found"):
            value = answer.get(key)
            if not (value is None or isinstance(value, (int, list))):
                raise SinkUnavailable(f"the answer says {key}: {str(value)[:200]!r}")
        self._log_counters(answer, len(reports))
        return Ack(
            retry=self._retry(answer.get("retry")),
            again=_count(answer.get("queued")) > 0,
            not_before=self._moment(answer.get("next_sync_after")),
        )

    def _log_counters(self, answer: Mapping[str, Any], sent: int) -> None:
        """They are information: what the application noted as failed, or does not know."""
        if "sent" not in answer:
            return
        total = sum(_count(answer.get(key)) for key in ("sent", "error", "deferred", "not_found"))
        if total != sent:
            self._log.warning("the answer counts %d reports, but %d were posted", total, sent)

    def _retry(self, value: object) -> frozenset[str]:
        ids = value if isinstance(value, list) else []
        known = frozenset(one for one in ids if isinstance(one, str))
        if value is not None and not (isinstance(value, list) and len(known) == len(ids)):
            self._log.warning('"retry" of the answer should be a list of ids, each a string')
        return known

    def _moment(self, value: object) -> float | None:
        if value is None:
            return None
        if (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and 0 <= value <= LAST_TS
        ):
            return float(value)
        self._log.warning('"next_sync_after" of the answer should be seconds since the epoch')
        return None


def _entry(report: Report) -> dict[str, Any]:
    return {
        "id": report.id,
        "account_id": report.account_id,
        "priority": report.priority,
        "sent_ts": report.sent_ts,
        "error_ts": report.error_ts,
        "error": report.error,
        "deferred_ts": report.deferred_ts,
    }


def _count(value: object) -> int:
    """How many an entry of the answer stands for: a number, or a list of what it counts."""
    if isinstance(value, list):
        return len(value)
    return value if isinstance(value, int) else 0


def _decoded(content: bytes, encoding: str) -> bytes:
    """A compressed answer, which was not asked for, is unpacked no further than the limit."""
    if encoding.strip().lower() in ("", "identity"):
        return content
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        raise SinkUnavailable(f"the answer is encoded as {encoding[:40]!r}")
    try:
        return zlib.decompressobj(wbits=47).decompress(content, MAX_ANSWER_BYTES + 1)
    except zlib.error as error:
        raise SinkUnavailable(f"the answer is not proper {encoding[:40]}: {error}") from error


def _check_status(response: httpx.Response, now: float) -> None:
    """Raise what any status but 2xx means."""
    status = response.status_code
    if response.is_success:
        return
    if status in REFUSALS:
        raise SinkRefused(f"the answer is {status}")
    if response.is_redirect:
        raise SinkUnavailable(f"the answer is {status}; redirects are not followed")
    wait = None
    if status in RETRY_LATER:
        wait = _retry_after(response.headers.get("Retry-After", ""), now)
    raise SinkUnavailable(f"the answer is {status}", retry_after=wait)


def _retry_after(value: str, now: float) -> float | None:
    """Seconds from now; written as such or as a date (RFC 9110 10.2.3), anything else is ignored."""
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - now, 0.0)
    except (ValueError, OverflowError):
        return None


@hookimpl
def asyncmail_sinks() -> Iterable[Offer[Sink]]:
    return (Offer("genropy", GenropySink, settings=GenropySettings),)
