"""asyncmail under test: ``asyncmail serve`` on its defaults, with a fresh database."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.message import ACCOUNT
from support.rawhttp import Connection, connection

START_SECONDS = 30.0


@dataclass(frozen=True)
class Service:
    """A running service process."""

    port: int
    pid: int
    log: Path

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request over a connection of its own."""
        async with connection(self.port) as http:
            return await http.call(method, path, body)


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def configure(folder: Path, receiver_port: int | None, more: str = "") -> tuple[Path, int]:
    """Write ``asyncmail.toml``: where to listen, where to keep mail, where to report; ``more`` sections;
    defaults else."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    lines = ["[server]", f"port = {port}", "[storage]", f'url = "sqlite:///{folder}/queue.db"']
    lines += [f'key_file = "{folder}/asyncmail.key"']
    if receiver_port is not None:
        lines += ["[client]", f'proxy_sync_url = "http://127.0.0.1:{receiver_port}/proxy_sync"']
    file = folder / "asyncmail.toml"
    file.write_text("\n".join([*lines, more]) + "\n")
    return file, port


async def spawn(config: Path, packages: Path | None = None) -> asyncio.subprocess.Process:
    """Start ``asyncmail serve``; its log goes beside its configuration. ``packages``: a folder more to
    import from."""
    path = {} if packages is None else {"PYTHONPATH": str(packages)}
    with config.with_name("service.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "asyncmail", "serve", "--config", str(config)),
            stderr=log,
            env={**os.environ, **path},
        )


@asynccontextmanager
async def service(
    folder: Path, *, smarthost_port: int, receiver_port: int | None
) -> AsyncIterator[Service]:
    """A service with one account, whose smarthost is on loopback without TLS."""
    config, port = configure(folder, receiver_port)
    async with running(config, port) as started:
        account = {"id": ACCOUNT, "host": "127.0.0.1", "port": smarthost_port, "tls": "none"}
        await started.call("POST", "/account", account)
        yield started


@asynccontextmanager
async def running(config: Path, port: int, packages: Path | None = None) -> AsyncIterator[Service]:
    """A service on an existing configuration, from its first answer to its exit."""
    process = await spawn(config, packages)
    try:
        started = Service(port, process.pid, config.with_name("service.log"))
        await answering(started)
        yield started
    finally:
        process.terminate()
        await process.wait()


async def answering(started: Service) -> None:
    """Wait until /health answers."""
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            await started.call("GET", "/health")
        except OSError:
            if time.monotonic() > end:
                raise RuntimeError(f"the service does not start, see {started.log}") from None
            await asyncio.sleep(0.002)
        else:
            return


async def acknowledged(http: Connection, message_id: str) -> None:
    """Wait until the service itself says that the report of a message is acknowledged."""
    while (await http.call("GET", f"/messages/{message_id}"))["reported_ts"] is None:
        pass
