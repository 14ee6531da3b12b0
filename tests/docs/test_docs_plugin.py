"""The plugin of the page "Writing a plugin", written out, installed, tested and used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import doc_pages
import pytest

from asyncmail.app import running
from asyncmail.config import Settings, StorageSettings, load_settings
from asyncmail.errors import ConfigurationError
from asyncmail.intake import Entry
from asyncmail.model import Account
from asyncmail.plugins.kinds import Kind
from asyncmail.plugins.manager import PluginManager, Status
from asyncmail.store.base import Lane
from asyncmail.testing import ManualClock

PAGE = "writing-a-plugin.md"


def install(package: Path, site: Path) -> None:
    """What an installer does with a package of one module: the module, and what its metadata says."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    (entry_point,) = project["entry-points"]["asyncmail.v1"].items()
    module = entry_point[1]
    (site / f"{module}.py").write_text((package / f"{module}.py").read_text())
    info = site / f"{module}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    (info / "entry_points.txt").write_text(f"[asyncmail.v1]\n{entry_point[0]} = {module}\n")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The folder with the files of the page."""
    folder = tmp_path / "asyncmail-allowlist"
    folder.mkdir()
    for block in doc_pages.blocks("python", "toml"):
        if block.page == PAGE and block.mark.startswith("file: "):
            (folder / block.mark.removeprefix("file: ")).write_text(block.text)
    return folder


@pytest.fixture
def site(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where it is installed, on the import path of this process."""
    site = tmp_path / "site"
    site.mkdir()
    install(package, site)
    monkeypatch.syspath_prepend(site)
    yield site
    sys.modules.pop("asyncmail_allowlist", None)


def run(site: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_its_own_tests_pass(package: Path, site: Path) -> None:
    done = run(site, package, "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d\d passed", done.stdout), done.stdout


def test_it_is_listed_as_the_page_shows(package: Path, site: Path) -> None:
    listed = run(site, package.parent, "asyncmail", "plugins").stdout.splitlines()
    shown = next(b for b in doc_pages.blocks("text") if b.page == PAGE and "PLUGIN" in b.text)
    line = shown.text.splitlines()[1].split()
    assert line in [one.split() for one in listed]


async def test_configured_it_refuses_mail_to_elsewhere(package: Path, site: Path) -> None:
    chosen = load_settings(package / "asyncmail.toml", environ={}).plugins
    storage = StorageSettings(
        url=f"sqlite:///{site / 'mail.db'}", key_file=site / "key", min_free_bytes=0
    )
    async with running(Settings(plugins=chosen, storage=storage)) as service:
        await service.store.put_account(Account("default", "mail.example"), keep_password=False)
        await service.scheduler.account_changed(Lane("default", "default"))
        await service.scheduler.suspend()
        mail = {"from": "shop@example.com", "subject": "Hello", "body": "Hello."}
        accepted = await service.intake.accept(
            "default",
            [
                Entry("m1", {"id": "m1", "to": "a@example.org", **mail}),
                Entry("m2", {"id": "m2", "to": "b@example.net", **mail}),
            ],
        )
    assert accepted.queued == 1
    (rejection,) = accepted.rejected
    example = next(b for b in doc_pages.blocks("json") if b.page == PAGE)
    assert f'"reason": "{rejection.reason}"' in example.text


def test_a_misspelt_key_is_told_as_the_page_says(site: Path) -> None:
    manager = PluginManager()
    manager.discover()
    mine = next(plugin for plugin in manager.listing() if plugin.name == "allowlist")
    assert mine.status is Status.LOADED
    with pytest.raises(ConfigurationError) as caught:
        manager.build(
            {Kind.VALIDATOR: ["allowlist"]},
            {"allowlist": {"domains": ["example.org"], "domain": ["example.org"]}},
            ManualClock(),
        )
    texts = [b.text.strip() for b in doc_pages.blocks("text") if b.page == PAGE]
    assert str(caught.value) in texts
