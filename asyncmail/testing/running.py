"""The whole application with a clock moved by hand, and shorthand for what tests do with it.

``test_mode`` is on: nothing happens but what the test asks for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from asyncmail.app import Service, running
from asyncmail.config import (
    ClientSettings,
    DeliverySettings,
    PluginsSettings,
    ServerSettings,
    Settings,
    StorageSettings,
)
from asyncmail.testing.clock import ManualClock


@dataclass(frozen=True)
class RunningService:
    """A running service, used through its REST API. The methods fail where the service refuses."""

    service: Service
    client: httpx.AsyncClient
    clock: ManualClock
    smtp_port: int

    async def post(self, path: str, body: Any = None) -> Any:
        """The answer to a POST."""
        response = await self.client.post(path, json=body)
        if response.status_code != 200:
            raise AssertionError(f"POST {path}: {response.status_code} {response.text}")
        return response.json()

    async def get(self, path: str, **params: Any) -> Any:
        """The answer to a GET."""
        response = await self.client.get(path, params=params)
        if response.status_code != 200:
            raise AssertionError(f"GET {path}: {response.status_code} {response.text}")
        return response.json()

    async def account(self, id: str = "shop", **more: Any) -> None:
        """Set up an account that leads to the SMTP server; ``more``: further fields."""
        account = {"id": id, "host": "127.0.0.1", "port": self.smtp_port, "tls": "none", **more}
        await self.post("/account", account)

    async def hand_in(self, *mails: Mapping[str, Any]) -> Any:
        """Hand in messages; the answer has ``queued`` and ``rejected``."""
        return await self.post("/commands/add-messages", {"messages": list(mails)})

    async def dispatch(self) -> int:
        """Attempt everything that is due now, and commit the results; how many attempts."""
        return await self.service.scheduler.run_once()

    async def run_now(self) -> None:
        """One full cycle in the background: dispatch, sweep, reports."""
        await self.post("/commands/run-now")

    async def show(self, id: str) -> Any:
        """The message with its history."""
        return await self.get(f"/messages/{id}")

    async def status(self, id: str) -> str:
        """``queued``, ``sending``, ``deferred``, ``sent`` or ``error``."""
        status: str = (await self.show(id))["status"]
        return status

    async def reported(self, id: str) -> None:
        """Wait until every sink has acknowledged the message's result; fails after 5 seconds."""
        for _ in range(500):
            if (await self.show(id))["reported_ts"]:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"message '{id}' is not reported")

    async def metric(self, line: str) -> float:
        """The value of ``name{labels}`` on /metrics."""
        text = (await self.client.get("/metrics")).text
        values = [row for row in text.splitlines() if row.startswith(f"{line} ")]
        if not values:
            raise AssertionError(f"{line} is not on /metrics")
        return float(values[0].rpartition(" ")[2])


def mail(id: str = "m1", to: str | list[str] = "", **more: Any) -> dict[str, Any]:
    """A message as the REST API takes it, from the account ``shop``."""
    return {
        "id": id,
        "account_id": "shop",
        "from": "orders@shop.example",
        "to": to or f"{id}@customer.example",
        "subject": "Hello",
        "body": "Hello.\n",
        **more,
    }


class StartService:
    """Starts services on one folder, so that a test can stop one and start the next.

    ``plugins``: ``[plugins]`` as the configuration would have it, tables included.
    """

    def __init__(
        self,
        folder: Path,
        clock: ManualClock,
        smtp_port: int,
        report_url: str = "",
        plugins: Mapping[str, Any] | None = None,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._smtp_port = smtp_port
        self._report_url = report_url
        self._plugins = plugins or {}

    def settings(self, **delivery: Any) -> Settings:
        """The settings that a call uses; ``delivery``: keys of that section."""
        tables = {k: v for k, v in self._plugins.items() if isinstance(v, Mapping)}
        chosen = {k: v for k, v in self._plugins.items() if k not in tables}
        return Settings(
            server=ServerSettings(shutdown_grace_seconds=2),
            storage=StorageSettings(
                url=f"sqlite:///{self._folder / 'mail.db'}",
                key_file=self._folder / "mail.key",
                min_free_bytes=0,
            ),
            delivery=DeliverySettings(**{"test_mode": True, "retry_delays": (60, 300), **delivery}),
            client=ClientSettings(proxy_sync_url=self._report_url),
            plugins=PluginsSettings(**chosen, tables=tables),
        )

    @asynccontextmanager
    async def __call__(
        self, settings: Settings | None = None, **delivery: Any
    ) -> AsyncIterator[RunningService]:
        """A service inside the block, with ``settings`` or its own; stopped in order behind it."""
        settings = settings or self.settings(**delivery)
        async with running(settings, clock=self._clock) as service:
            transport = httpx.ASGITransport(app=service.api)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                yield RunningService(service, client, self._clock, self._smtp_port)
