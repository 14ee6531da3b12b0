"""The servers run as processes of their own, so that a crash test can kill what they watch."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from raw_smtp import connect

from asyncmail.testing import read_ledger


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(30):
            yield child, json.loads(await child.stdout.readline())["port"]
    finally:
        if child.returncode is None:
            child.terminate()
        _, errors = await child.communicate()
    assert (child.returncode, errors) == (0, b"")


async def test_the_smtp_server_runs_as_a_process(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    options = ("--ledger", str(path), "--dot-delay", "0.05")
    async with process("asyncmail.testing.faultsmtp", *options) as (child, port):
        async with connect(port) as client:
            begin = time.monotonic()
            assert await client.send("a@fault.test") == 250
            assert time.monotonic() - begin >= 0.05
        os.kill(child.pid, signal.SIGTERM)
        await child.wait()
    assert len(read_ledger(path)) == 1


async def test_the_receiver_runs_as_a_process(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    options = ("--ledger", str(path), "--fail", "100")
    async with process("asyncmail.testing.receiver", *options) as (_, port):
        async with httpx.AsyncClient() as client:
            response = await client.post(f"http://127.0.0.1:{port}/", json={"delivery_report": []})
        assert response.status_code == 503
    assert json.loads(path.read_text())["status"] == 503
