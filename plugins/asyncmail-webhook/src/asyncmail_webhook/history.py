"""Results that the service still knows, as reports to post again: read from its REST API."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from asyncmail.errors import AsyncmailError
from asyncmail.model import DEFAULT_TENANT, Report

SINK = "webhook"
TIMEOUT_SECONDS = 30.0


class HistoryError(AsyncmailError):
    """The service does not tell what became of a message."""


class History:
    """The running service, inside ``async with``."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        headers = {"X-API-Token": token} if token else {}
        self._client = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def reports(self, id: str) -> list[Report]:
        """The results of a message that this sink was or is to be told, oldest first; none if the
        service does not know the id. Raises ``HistoryError``."""
        try:
            response = await self._client.get(f"/messages/{quote(id, safe='')}")
        except httpx.HTTPError as error:
            raise HistoryError(f"{self._url} does not answer: {error}") from error
        if response.status_code == 404:
            return []
        if response.status_code != 200:
            raise HistoryError(f"{self._url} answers {response.status_code} about {id!r}")
        return reports_of(response.json())


def reports_of(record: dict[str, Any]) -> list[Report]:
    """The reports in an answer to GET /messages/{id}. Of a deferral, that does not tell the time."""
    return [
        Report(
            key=0,
            tenant_id=record.get("tenant_id") or DEFAULT_TENANT,
            id=record["id"],
            account_id=record["account_id"],
            priority=record["priority"],
            sent_ts=report["sent_ts"],
            error_ts=report["error_ts"],
            error=report["error"],
            deferred_ts=None,
            generation=report["generation"],
            result_seq=report["result_seq"],
            tags=tuple(record["message"].get("tags") or ()),
        )
        for report in record["reports"]
        if report["sink"] == SINK
    ]
