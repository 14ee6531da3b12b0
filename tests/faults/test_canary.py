"""Secrets stay inside (G31): planted ones are looked for in everything that the real service shows.

Every secret holds a mark that no escaping changes; in base64 it is looked for at each alignment. It may
be in the environment and the configuration that brought it, in AUTH, and in the headers of its own calls.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncmail.testing import FaultSMTP, Profile, ReportReceiver
from asyncmail.testing.real_service import RealService, mail, until
from asyncmail.testing.receiver import Reply

MARK = "cAnArYmArK"
PASSWORD = f'p\\w"{MARK}-password é'
OLD_PASSWORD = f"{MARK}-old-password"
TOKEN = f"{MARK}-api-token"
PREVIOUS = f"{MARK}-previous-token"
BEARER = f"{MARK}-report-token"
SETTING = f"{MARK}-setting-of-a-plugin"

PLUGIN = '''
import threading, warnings
from pydantic import SecretStr
from asyncmail import Filter, Observer, Offer, PluginSettings, Rejected, Validator, hookimpl

class Settings(PluginSettings):
    key: SecretStr

class Talker:
    """Tells its secret, and those of others, wherever it can."""
    def __init__(self, settings, context):
        self.key, self.log = settings.key.get_secret_value(), context.logger

class Validating(Talker, Validator):
    async def validate(self, message, account):
        if message.subject == "reject":
            raise Rejected(f"{self.key!r} and {account.password!r} say no")
        if message.subject == "raise":
            raise RuntimeError(f"x" * 460 + f" {self.key} {account.password}") from ValueError(self.key)
        if message.subject == "nonsense":
            return f"{self.key} {account.password}"

class Filtering(Talker, Filter):
    async def apply(self, data, message, account):
        if message.subject == "filter":
            self.log.error("with %s and %s", self.key, account.password)
            raise LookupError({"password": account.password, "key": self.key})
        return data

class Watching(Talker, Observer):
    async def notice(self, event):
        def die():
            raise RuntimeError(f"thread with {self.key}")
        thread = threading.Thread(target=die)
        thread.start()
        thread.join()
        self.log.info("%r", {"key": self.key})
        raise OSError(self.key)

@hookimpl
def asyncmail_validators():
    return [Offer("talker", Validating, Settings)]
@hookimpl
def asyncmail_filters():
    return [Offer("talker", Filtering, Settings)]
@hookimpl
def asyncmail_observers():
    return [Offer("talker", Watching, Settings)]
'''


def forms() -> Iterator[bytes]:
    """The mark as it is, and in the middle of base64."""
    yield MARK.encode()
    for before in range(3):
        yield base64.b64encode(bytes(before) + MARK.encode())[4:12]


def leaks(where: str, content: str | bytes) -> list[str]:
    """Places of secrets in a text, with what stands around them."""
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    return [
        f"{where}: {data[max(place - 60, 0) : place + 60]!r}"
        for form in forms()
        if (place := data.find(form)) >= 0
    ]


def install(site: Path) -> None:
    info = site / "asyncmail_talker-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "asyncmail_talker.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: asyncmail-talker\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[asyncmail.v1]\ntalker = asyncmail_talker\n")


@pytest.fixture
async def echoing() -> AsyncIterator[FaultSMTP]:
    """Repeats the login on demand: in clear, in base64, and where the limit of a text cuts it."""
    plain = base64.b64encode(f"\0me\0{PASSWORD}".encode())
    said = b"550-5.7.1 %b\r\n550-5.7.1 AUTH PLAIN %b\r\n550 5.7.1 %b %b\r\n"
    echo = said % (PASSWORD.encode(), plain, b"x" * 250, PASSWORD.encode())
    cut = b"550 5.7.1 %b %b\r\n" % (b"y" * 478, PASSWORD.encode())
    profile = Profile(
        raw={"echo": echo, "cut": cut},
        auth=("me", PASSWORD),
        clear_auth=True,
    )
    async with FaultSMTP(profile=profile) as server:
        yield server


@pytest.fixture
async def locked() -> AsyncIterator[FaultSMTP]:
    """Refuses the login, and repeats it."""
    login = f"\0me\0{OLD_PASSWORD}"
    reply = f"535 5.7.8 {login[1:]!r} {base64.b64encode(login.encode()).decode()} is wrong\r\n"
    profile = Profile(
        script="auth.raw-said", raw={"said": reply.encode()}, auth=("a", "b"), clear_auth=True
    )
    async with FaultSMTP(profile=profile) as server:
        yield server


@pytest.fixture
async def receiver() -> AsyncIterator[ReportReceiver]:
    """Fails at first, with the token that it was sent."""
    quoting = Reply(status=500, body=f"no: Authorization: Bearer {BEARER}, {PASSWORD}")
    refusing = Reply(body={"error": f"{BEARER} is not valid"})
    async with ReportReceiver(script=[quoting, refusing]) as server:
        yield server


@pytest.fixture
async def running(service: RealService, receiver: ReportReceiver, tmp_path: Path) -> RealService:
    """With every secret it can have, and as talkative as it can be."""
    site = tmp_path / "site"
    install(site)
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    service.environ = {"PYTHONPATH": path, "API_TOKEN": TOKEN}
    service.config |= {
        "server": {"port": 0, "api_token_previous": PREVIOUS},
        "delivery": {"retry_delays": [1], "max_attempts": 2},
        "client": {"proxy_sync_url": receiver.url, "proxy_sync_token": BEARER},
        "logging": {"level": "DEBUG", "delivery_activity": True},
        "plugins": {
            "validators": ["addresses", "talker"],
            "filters": ["talker"],
            "observers": ["talker"],
            "trace": True,
        },
        "plugins.talker": {"key": SETTING},
    }
    await service.start()
    service.api.headers["X-API-Token"] = TOKEN
    return service


@pytest.mark.fault("secrets.server_repeats", "secrets.plugin_tells", "secrets.receiver_repeats")
async def test_no_secret_is_shown_anywhere(
    running: RealService, receiver: ReportReceiver, echoing: FaultSMTP, locked: FaultSMTP
) -> None:
    service, found = running, []

    async def ask(method: str, path: str, **request: Any) -> None:
        reply = await service.api.request(method, path, **request)
        found.extend(leaks(f"{method} {path} -> {reply.status_code}", reply.text))
        found.extend(leaks(f"headers of {method} {path}", repr(reply.headers)))

    # accounts, good and bad
    await service.account(locked.port, "locked", user="me", password=OLD_PASSWORD)
    await service.account(echoing.port, user="me", password=OLD_PASSWORD)
    await service.account(echoing.port, user="me", password=PASSWORD)
    for wrong in (
        {},
        {"host": PASSWORD},
        {"host": "h", "port": TOKEN},
        {"host": "h", "tls": TOKEN},
    ):
        await ask("POST", "/account", json={"id": "x", "password": PASSWORD, **wrong})
    await ask("POST", "/account", content=f'{{"password": "{MARK}", '.encode())
    for token in (f"{TOKEN}x", PREVIOUS[:-1], PASSWORD.encode()):
        await ask("GET", "/accounts", headers={"X-API-Token": token})
    await ask("GET", "/status", headers={"X-API-Token": PREVIOUS})
    await ask("GET", f"/{TOKEN}", headers={"X-API-Token": TOKEN})

    # messages of every fate
    subjects = ("echo", "cut", "reject", "raise", "nonsense", "filter")
    to = {"echo": "a+dot.raw-echo@customer.example", "cut": "a+rcpt.raw-cut@customer.example"}
    batch = [mail(f"m-{s}", to.get(s, "a@customer.example"), subject=s) for s in subjects]
    batch.append(mail("m-locked", "a@customer.example", account_id="locked"))
    answer = await service.hand_in(batch)
    found += leaks("add-messages", json.dumps(answer, ensure_ascii=False))
    assert answer["queued"] == 4
    assert len(answer["rejected"]) == 3
    await service.in_state("error", 3)

    async def reported_and_broken() -> bool:
        states = {a["id"]: a["state"] for a in (await service.get("/accounts"))["accounts"]}
        return len(receiver.acknowledged) >= 3 and states["locked"] == "broken"

    await until(reported_and_broken)
    assert await shown_masks(service) == {"m-echo": True, "m-cut": True, "m-filter": True}

    # everything that can be looked at
    pages = ("/accounts", "/messages", "/metrics", "/plugins", "/health", "/livez", "/readyz")
    for page in (*pages, "/status", "/openapi.json", "/docs", "/redoc", "/nowhere"):
        await ask("GET", page)
    await ask("GET", "/messages", headers={"Accept": "application/x-ndjson"})
    for message in batch:
        await ask("GET", f"/messages/{message['id']}")
    for number, post in enumerate(receiver.posts):
        assert BEARER in str(post.headers)  # it was sent, where it belongs
        found += leaks(f"report {number}", json.dumps(post.reports, ensure_ascii=False))
    found += leaks("arguments", arguments(service))
    for words in (
        ("config", "show"),
        ("config", "show", "--json"),
        ("accounts", "list"),
        ("check",),
    ):
        found += leaks(" ".join(words), await command(service, *words))
    found += in_files(service.folder)
    await service.kill()
    log = "".join(service.log)
    found += leaks("log", log)
    for words in (
        "thread 'Thread-",
        "filter 'talker'",
        "observer 'talker'",
        "535",
        "asyncmail.trace",
    ):
        assert words in log
    assert found == []


@pytest.mark.fault("secrets.fatal_error")
@pytest.mark.parametrize("format", ["console", "json"])
async def test_an_error_that_ends_the_service_shows_none_either(
    service: RealService, tmp_path: Path, format: str
) -> None:
    install(tmp_path / "site")
    source = tmp_path / "site" / "asyncmail_talker.py"
    source.write_text(
        PLUGIN.replace(
            "class Talker:",
            "class Talker:\n    async def start(self):\n        raise OSError(self.key)\n",
        )
    )
    service.environ = {"PYTHONPATH": str(tmp_path / "site")}
    service.config |= {
        "logging": {"format": format},
        "plugins": {"filters": ["talker"]},
        "plugins.talker": {"key": SETTING},
    }
    service.program = (sys.executable, "-m", "asyncmail", "--debug")
    code, words = await service.refusal()
    assert code == 1
    assert "Traceback" in words
    assert "OSError: ***" in words
    assert leaks("standard error", words) == []


def arguments(service: RealService) -> bytes:
    """What anybody on the machine can see of the process."""
    return Path(f"/proc/{service.pid}/cmdline").read_bytes()


async def shown_masks(service: RealService) -> dict[str, bool]:
    """Of the messages in error, whether their history has a mask where a secret was."""
    ids = [record["id"] for record in (await service.get("/messages", status="error"))["messages"]]
    return {id: "***" in json.dumps(await service.get(f"/messages/{id}")) for id in ids}


def in_files(folder: Path) -> list[str]:
    """In what the service wrote: database, log, lock, key file."""
    files = [path for path in folder.iterdir() if path.name != "asyncmail.toml"]
    assert {path.name for path in files} >= {"asyncmail.db", "asyncmail.db-wal", "asyncmail.key"}
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in files} == {
        path.name: "0o600" for path in files
    }
    return [leak for path in files for leak in leaks(path.name, path.read_bytes())]


async def command(service: RealService, *words: str) -> bytes:
    """What a verb prints about the running service, on both streams."""
    port = service.url.rpartition(":")[2]
    process = await asyncio.create_subprocess_exec(
        *service.program,
        *words,
        cwd=service.folder,
        env={**os.environ, **service.environ, "ASYNCMAIL_SERVER__PORT": port},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert output
    return output
