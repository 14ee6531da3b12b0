"""The documentation pages in a real browser: they come up, and ask nothing of any other host."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from programs import require_program

from .harness import Harness

SECONDS = 120  # a browser on a busy machine takes its time


async def browse(url: str, folder: Path) -> tuple[str, list[str]]:
    """Load a page; its document once the scripts are done, and every URL that it asked for."""
    netlog = folder / "net.json"
    browser = await asyncio.create_subprocess_exec(
        require_program("chromium", "chromium"),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        f"--user-data-dir={folder / 'profile'}",
        f"--log-net-log={netlog}",
        "--virtual-time-budget=20000",
        "--dump-dom",
        url,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(SECONDS):
            output, _ = await browser.communicate()
    except BaseException:
        browser.kill()
        await browser.wait()
        raise
    return output.decode(), asked(json.loads(netlog.read_text()), url)


def asked(log: dict[str, Any], page: str) -> list[str]:
    """The URLs that the page, and not the browser for itself, asked for."""
    origin = "/".join(page.split("/")[:3])
    params = [event.get("params", {}) for event in log["events"]]
    return [
        p["url"] for p in params if "url" in p and p.get("initiator", "") in (origin, origin + "/")
    ]


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_a_page_comes_up_without_asking_elsewhere(
    api: Harness, tmp_path: Path, page: str
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(api.app, lifespan="off", log_config=None))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        document, urls = await browse(base + page, tmp_path)
    finally:
        server.should_exit = True
        await serving
    assert "/commands/add-messages" in document, "the page shows the operations"
    assert f"{base}/openapi.json" in urls
    assert [url for url in urls if not url.startswith((base, "data:", "blob:"))] == []
