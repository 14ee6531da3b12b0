"""Plugins as a package manager leaves them, seen by the service as a process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from asyncmail.testing import ReportReceiver
from asyncmail.testing.real_service import ASYNCMAIL, PATIENCE, RealService, mail

MAILDIR = Path(__file__).parents[2] / "plugins" / "asyncmail-maildir"
CAUSE = "ModuleNotFoundError: No module named 'a_library_that_is_not_there'"


async def run(*arguments: str, **environ: str) -> str:
    """What a program prints; it should end with 0."""
    process = await asyncio.create_subprocess_exec(
        *arguments,
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(2 * PATIENCE):
        stdout, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    return stdout.decode()


async def install(package: Path, site: Path) -> None:
    """Build and install a package, and nothing it depends on, into a folder of its own."""
    await run(
        *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--offline"),
        *("--no-build-isolation", "--python", sys.executable, "--target", str(site), str(package)),
    )


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """The folder of a package whose module cannot be imported."""
    site = tmp_path / "site"
    info = site / "asyncmail_broken-1.2.dist-info"
    info.mkdir(parents=True)
    (site / "asyncmail_broken.py").write_text("import a_library_that_is_not_there\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: asyncmail-broken\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[asyncmail.v1]\nbroken = asyncmail_broken\n")
    return site


async def test_a_broken_plugin_that_nobody_asked_for_is_listed_and_stops_nothing(
    service: RealService, broken: Path
) -> None:
    expected = {
        "name": "broken",
        "package": "asyncmail-broken",
        "version": "1.2",
        "status": "failed",
        "error": CAUSE,
    }
    service.environ["PYTHONPATH"] = str(broken)
    await service.start()
    listed = (await service.get("/plugins"))["plugins"]
    (shown,) = [plugin for plugin in listed if plugin["name"] == "broken"]
    assert expected.items() <= shown.items()
    assert {p["status"] for p in listed if p["package"] == "asyncmail"} == {"loaded"}
    assert "asyncmail-broken" in "".join(service.log)

    told = json.loads(await run(*ASYNCMAIL, "plugins", "--json", PYTHONPATH=str(broken)))
    (shown,) = [plugin for plugin in told if plugin["name"] == "broken"]
    assert expected.items() <= shown.items()


async def test_a_broken_plugin_that_is_configured_stops_the_start_and_is_named(
    service: RealService, broken: Path
) -> None:
    service.environ["PYTHONPATH"] = str(broken)
    service.config["plugins"] = {"transports": ["smtp", "broken"]}
    code, stderr = await service.refusal()
    assert code == 1
    _, _, words = stderr.partition("error: ")  # behind the log, which has the traceback
    assert "'broken'" in words
    assert "asyncmail-broken 1.2" in words
    assert CAUSE in words
    assert not (service.folder / "asyncmail.db").exists()


async def test_the_maildir_package_delivers_from_an_install_of_its_own(
    tmp_path: Path, service: RealService
) -> None:
    site, root = tmp_path / "site", tmp_path / "mail"
    await install(MAILDIR, site)
    service.environ["PYTHONPATH"] = str(site)
    service.config["plugins"] = {"transports": ["smtp", "maildir"]}
    service.config["plugins.maildir"] = {"root": str(root)}
    async with ReportReceiver() as application:
        service.config["client"] = {"proxy_sync_url": application.url}
        await service.start()
        await service.post("/account", {"id": "staging", "transport": "maildir"})
        await service.hand_in([mail("m1", account_id="staging")])
        await application.wait_for(lambda: bool(application.acknowledged), timeout=PATIENCE)
        assert application.acknowledged[0]["sent_ts"]
    (letter,) = (root / "m1@customer.example" / "new").iterdir()
    text = letter.read_text()
    assert "Delivered-To: m1@customer.example\n" in text
    assert "Subject: Order m1\n" in text
    listed = (await service.get("/plugins"))["plugins"]
    (maildir,) = [plugin for plugin in listed if plugin["name"] == "maildir"]
    assert maildir["package"] == "asyncmail-maildir"
    assert maildir["kinds"] == {"transport": ["maildir"]}
