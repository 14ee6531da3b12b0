"""The whole service with a clock moved by hand, and shorthand for what tests do with it.

``test_mode`` is on: nothing happens but what the test asks for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
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
from asyncmail.testing import FaultSMTP, ManualClock


@dataclass
class Running:
    """A running service and shorthand for what tests do with it, all of it through the REST API."""

    service: Service
    client: httpx.AsyncClient
    clock: ManualClock
    smtp_port: int

    async def post(self, path: str, body: Any = None) -> Any:
        response = await self.client.post(path, json=body)
        assert response.status_code == 200, response.text
        return response.json()

    async def account(self, id: str = "shop", **more: Any) -> None:
        account = {"id": id, "host": "127.0.0.1", "port": self.smtp_port, "tls": "none", **more}
        await self.post("/account", account)

    async def hand_in(self, *mails: dict[str, Any]) -> Any:
        return await self.post("/commands/add-messages", {"messages": list(mails)})

    async def dispatch(self) -> int:
        """Attempt everything that is due now, and commit the results."""
        return await self.service.scheduler.run_once()

    async def show(self, id: str) -> Any:
        response = await self.client.get(f"/messages/{id}")
        assert response.status_code == 200, response.text
        return response.json()

    async def status(self, id: str) -> str:
        status: str = (await self.show(id))["status"]
        return status

    async def metric(self, line: str) -> float:
        """The value of ``name{labels}`` on /metrics."""
        text = (await self.client.get("/metrics")).text
        values = [row for row in text.splitlines() if row.startswith(f"{line} ")]
        assert values, f"{line} is not on /metrics"
        return float(values[0].rpartition(" ")[2])


def mail(id: str = "m1", to: str | list[str] = "", **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "account_id": "shop",
        "from": "orders@shop.example",
        "to": to or f"{id}@customer.example",
        "subject": "Hello",
        "body": "Hello.\n",
        **more,
    }


class Start:
    """Starts services on one folder, so that a test can stop one and start the next."""

    def __init__(self, folder: Path, clock: ManualClock, smtp: FaultSMTP, url: str) -> None:
        self.folder = folder
        self.clock = clock
        self.smtp = smtp
        self.url = url

    def settings(self, **delivery: Any) -> Settings:
        delivery = {"test_mode": True, "retry_delays": (60, 300), **delivery}
        return Settings(
            server=ServerSettings(shutdown_grace_seconds=2),
            storage=StorageSettings(
                url=f"sqlite:///{self.folder / 'mail.db'}",
                key_file=self.folder / "mail.key",
                min_free_bytes=0,
            ),
            delivery=DeliverySettings(**delivery),
            client=ClientSettings(proxy_sync_url=self.url),
            plugins=PluginsSettings(),
        )

    @asynccontextmanager
    async def __call__(
        self, settings: Settings | None = None, **delivery: Any
    ) -> AsyncIterator[Running]:
        settings = settings or self.settings(**delivery)
        async with running(settings, clock=self.clock) as service:
            transport = httpx.ASGITransport(app=service.api)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                yield Running(service, client, self.clock, self.smtp.port)
