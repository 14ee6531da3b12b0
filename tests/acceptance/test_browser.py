"""The documentation pages in a real browser that can reach this machine alone."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from programs import require_program

from asyncmail.testing.real_service import PATIENCE, RealService

SWITCHES = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-default-apps", "--disable-extensions", "--disable-dev-shm-usage"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    *("--virtual-time-budget=20000", "--window-size=1280,1600"),
)


async def chromium(folder: Path, url: str, *switches: str) -> str:
    """What the browser prints; its net log goes to ``net.json``."""
    program = require_program("chromium", "chromium")
    process = await asyncio.create_subprocess_exec(
        *(program, *SWITCHES, f"--user-data-dir={folder / 'profile'}"),
        *(f"--log-net-log={folder / 'net.json'}", *switches, url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(3 * PATIENCE):
            stdout, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    return stdout.decode()


def asked_for(net_log: Path, page: str) -> set[str]:
    """Every URL that a page wanted; what the browser wants for itself is not its doing."""
    log = json.loads(net_log.read_text())
    start = log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    return {
        event["params"]["url"]
        for event in log["events"]
        if event["type"] == start and event.get("params", {}).get("initiator") == page
    }


@pytest.mark.parametrize(
    ("page", "operations"),
    [
        ("/docs", ["operations-messages-add_messages", "operations-accounts-"]),
        ("/redoc", ["operation/add_messages", "operation/list_messages"]),
    ],
)
async def test_a_page_of_the_documentation_is_whole_without_internet(
    tmp_path: Path, service: RealService, page: str, operations: list[str]
) -> None:
    require_program("chromium", "chromium")
    await service.start()
    shown = await chromium(tmp_path, f"{service.url}{page}", "--dump-dom")
    for operation in operations:
        assert operation in shown
    assert "/commands/add-messages" in re.sub(r"<wbr ?/?>|\u200b", "", shown)
    asked = asked_for(tmp_path / "net.json", service.url)
    assert f"{service.url}/openapi.json" in asked
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(service.url).netloc}


async def test_a_page_that_asks_elsewhere_would_be_noticed(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        body = b'<html><img src="http://elsewhere.example/picture.png"></html>'
        head = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n"
        writer.write(head + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await chromium(tmp_path, url, "--dump-dom")
    assert "http://elsewhere.example/picture.png" in asked_for(tmp_path / "net.json", url)
