"""Debian's Prometheus, configured by the example, scrapes a running service and knows its alerts."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from programs import require_program

from asyncmail.app import running
from asyncmail.config import (
    ClientSettings,
    DeliverySettings,
    ServerSettings,
    Settings,
    StorageSettings,
)
from asyncmail.server import listening
from asyncmail.testing import FaultSMTP, ReportReceiver

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
TOKEN = "metrics-token"
PATIENCE = 60.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def service(folder: Path, smtp: FaultSMTP, sink: str) -> AsyncIterator[httpx.AsyncClient]:
    """A running service with a token, and a client that has it."""
    settings = Settings(
        server=ServerSettings(api_token=TOKEN, shutdown_grace_seconds=1),
        storage=StorageSettings(
            url=f"sqlite:///{folder / 'mail.db'}", key_file=folder / "mail.key", min_free_bytes=0
        ),
        delivery=DeliverySettings(retry_delays=(3600,)),
        client=ClientSettings(proxy_sync_url=sink),
    )
    headers = {"X-API-Token": TOKEN}
    async with (
        running(settings) as core,
        listening(core, port=0) as url,
        httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as client,
    ):
        yield client


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """Prometheus as the example configures it, but for the target and a shorter interval."""
    program = require_program("prometheus", "prometheus")
    example = (FOLDER / "prometheus.yml").read_text()
    assert "127.0.0.1:8000" in example
    example = example.replace("127.0.0.1:8000", target).replace("15s", "1s")
    (folder / "prometheus.yml").write_text(example)
    (folder / "asyncmail.token").write_text(TOKEN)
    shutil.copy(FOLDER / "alerts.yml", folder)
    address = f"127.0.0.1:{free_port()}"
    options = [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([program, *options], stdout=log, stderr=log)
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(timeout=30)


async def query(client: httpx.AsyncClient, expression: str) -> dict[str, float]:
    """``account_id`` (or nothing) to value; empty as long as there is no answer."""
    try:
        answer = await client.get("/api/v1/query", params={"query": expression})
    except httpx.TransportError:
        return {}
    if answer.status_code != 200:
        return {}
    series: list[dict[str, Any]] = answer.json()["data"]["result"]
    return {one["metric"].get("account_id", ""): float(one["value"][1]) for one in series}


async def wait_until(client: httpx.AsyncClient, expression: str, wanted: dict[str, float]) -> None:
    """Ask another process until it answers this; it has no way of telling when."""
    async with asyncio.timeout(PATIENCE):
        while (found := await query(client, expression)) != wanted:
            assert len(found) <= len(wanted), found
            await asyncio.sleep(0.2)


async def test_the_numbers_of_a_run_arrive_in_prometheus(tmp_path: Path) -> None:
    require_program("prometheus", "prometheus")
    mails = [f"sent{number}@fault.example" for number in range(5)]
    mails += [f"failed{number}+rcpt.550@fault.example" for number in range(3)]
    mails += [f"later{number}+rcpt.451@fault.example" for number in range(2)]
    async with (
        FaultSMTP() as smtp,
        ReportReceiver() as receiver,
        service(tmp_path, smtp, receiver.url) as api,
    ):
        for account in ({"id": "shop"}, {"id": "narrow", "limit_per_day": 1}):
            place = {"host": "127.0.0.1", "port": smtp.port, "tls": "none"}
            (await api.post("/account", json=account | place)).raise_for_status()
        messages = [
            {"id": f"m{number}", "account_id": "shop", "from": "a@shop.example", "to": to}
            for number, to in enumerate(mails)
        ] + [
            {"id": f"n{number}", "account_id": "narrow", "from": "a@shop.example", "to": to}
            for number, to in enumerate(["n1@fault.example", "n2@fault.example"])
        ]
        for message in messages:
            message |= {"subject": "Hello", "body": "Hello.\n"}
        answer = await api.post("/commands/add-messages", json={"messages": messages})
        assert answer.json()["queued"] == len(messages)
        await receiver.wait_for(lambda: len(receiver.acknowledged) == 9, timeout=20)
        target = str(api.base_url).removeprefix("http://").rstrip("/")
        with prometheus(tmp_path, target) as url:
            async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                await wait_until(client, "up", {"": 1})
                await wait_until(client, "asyncmail_sent_total", {"shop": 5, "narrow": 1})
                await wait_until(client, "asyncmail_errors_total", {"shop": 3, "narrow": 0})
                await wait_until(client, "asyncmail_deferred_total", {"shop": 2, "narrow": 1})
                await wait_until(client, "asyncmail_rate_limited_total", {"shop": 0, "narrow": 1})
                await wait_until(client, "asyncmail_pending_messages", {"": 3})
                rules = (await client.get("/api/v1/rules")).json()["data"]["groups"][0]["rules"]
                assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
                assert "AsyncmailBreakerOpen" in {rule["name"] for rule in rules}
