"""The receiver: one signed POST per report, and what its answer means."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from types import TracebackType
from typing import Self

import httpx

from asyncmail.clock import Clock
from asyncmail.errors import ConfigurationError
from asyncmail.model import Report
from asyncmail_webhook.events import body_of, webhook_id
from asyncmail_webhook.settings import WebhookSettings
from asyncmail_webhook.signing import signed_headers

MAX_ANSWER_BYTES = 1 << 20
LONGEST_WISH = 3600.0  # seconds, of a Retry-After; also the pause behind 410


class Verdict(Enum):
    """What became of one POST."""

    TAKEN = auto()
    REFUSED = auto()  # because of this report; others may pass
    FAILED = auto()  # this one failed; others may pass
    DOWN = auto()  # the receiver takes none now; asking on is of no use


@dataclass(frozen=True, slots=True)
class Outcome:
    """``words`` say what the answer was; ``retry_after``: seconds that the receiver asked for."""

    verdict: Verdict
    words: str = ""
    retry_after: float | None = None


class Endpoint:
    """Posts to the configured URL inside ``async with``; never follows redirects."""

    def __init__(self, settings: WebhookSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._keys = settings.keys
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        ca_file = self._settings.ca_file
        try:
            context = await asyncio.to_thread(ssl.create_default_context, cafile=ca_file)
        except OSError as error:
            words = error.strerror or error
            raise ConfigurationError(f"[plugins.webhook] ca_file {ca_file}: {words}") from error
        self._client = httpx.AsyncClient(
            headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
            limits=httpx.Limits(max_connections=self._settings.concurrency),
            timeout=self._settings.timeout_seconds,
            verify=context,
            follow_redirects=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def post(self, report: Report) -> Outcome:
        """Post one report; network failures are outcomes, too."""
        if self._client is None:
            return Outcome(Verdict.DOWN, "the sink is not started")
        now = self._clock.wall()
        body = body_of(report, now)
        headers = signed_headers(self._keys, webhook_id(report), int(now), body)
        seconds = self._settings.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._answer(self._client, headers, body)
        except (TimeoutError, httpx.TimeoutException):
            return Outcome(Verdict.DOWN, f"no answer within {seconds:g} s")
        except httpx.HTTPError as error:
            words = f"{type(error).__name__}: {error}".rstrip(": ")
            return Outcome(Verdict.DOWN, f"the call failed: {words}")

    async def _answer(
        self, client: httpx.AsyncClient, headers: dict[str, str], body: bytes
    ) -> Outcome:
        url, length = self._settings.url, 0
        async with client.stream("POST", url, content=body, headers=headers) as response:
            if not response.is_success:
                return _refusal(response, self._clock.wall())
            async for chunk in response.aiter_raw():  # what it says does not matter, its end does
                length += len(chunk)
                if length > MAX_ANSWER_BYTES:
                    return Outcome(Verdict.FAILED, "the answer is longer than 1 MiB")
        return Outcome(Verdict.TAKEN)


def _refusal(response: httpx.Response, now: float) -> Outcome:
    """What any status but 2xx means (Standard Webhooks, "Delivery success and failure")."""
    status = response.status_code
    words = f"the answer is {status}"
    if response.is_redirect:
        return Outcome(Verdict.DOWN, f"{words}; redirects are not followed")
    if status == 410:
        words += ": the receiver wants no more of these; take the sink out of the configuration"
        return Outcome(Verdict.DOWN, words, LONGEST_WISH)
    if status in (408, 429, 502, 503, 504):
        wish = _retry_after(response.headers.get("Retry-After", ""), now)
        return Outcome(Verdict.DOWN, words, wish)
    return Outcome(Verdict.REFUSED if 400 <= status < 500 else Verdict.FAILED, words)


def _retry_after(value: str, now: float) -> float | None:
    """Seconds from now; written as such or as a date (RFC 9110 10.2.3), anything else is ignored."""
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), LONGEST_WISH)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_WISH)
