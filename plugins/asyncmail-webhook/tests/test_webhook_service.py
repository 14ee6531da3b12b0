"""The whole service with this sink: from the request that queues a message to the verified webhook."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from asyncmail_webhook.replay import main
from click.testing import CliRunner, Result
from fastapi import Response
from webhook_receiver import SECRET, WebhookReceiver, served

from asyncmail.app import running
from asyncmail.config import (
    ClientSettings,
    DeliverySettings,
    PluginsSettings,
    ServerSettings,
    Settings,
    StorageSettings,
)
from asyncmail.testing import FaultSMTP

TOKEN = "a token of the REST API"


@pytest.fixture
async def smtp() -> AsyncIterator[FaultSMTP]:
    async with FaultSMTP() as server:
        yield server


@asynccontextmanager
async def service(folder: Path, url: str, smtp: FaultSMTP) -> AsyncIterator[httpx.AsyncClient]:
    """A running service with the account ``shop`` and an HTTP client of it."""
    settings = Settings(
        server=ServerSettings(shutdown_grace_seconds=2, api_token=TOKEN),
        storage=StorageSettings(
            url=f"sqlite:///{folder / 'mail.db'}", key_file=folder / "key", min_free_bytes=0
        ),
        delivery=DeliverySettings(retry_delays=(300,)),
        client=ClientSettings(report_deferrals=True),
        plugins=PluginsSettings(
            sinks=("webhook",), tables={"webhook": {"url": url, "secret": SECRET}}
        ),
    )
    async with (
        running(settings) as service,
        served(service.api) as address,
        httpx.AsyncClient(base_url=address, headers={"X-API-Token": TOKEN}) as client,
    ):
        account = {"id": "shop", "host": "127.0.0.1", "port": smtp.port, "tls": "none"}
        assert (await client.post("/account", json=account)).is_success
        yield client


async def hand_in(client: httpx.AsyncClient, *mails: tuple[str, str]) -> None:
    """Queue messages by id and recipient."""
    common = {"account_id": "shop", "from": "a@shop.example", "subject": "hello", "body": "hello"}
    messages = [{"id": id, "to": to, "tags": ["test"], **common} for id, to in mails]
    answer = await client.post("/commands/add-messages", json={"messages": messages})
    assert answer.json() == {"ok": True, "queued": len(mails), "rejected": []}


async def test_every_outcome_reaches_the_receiver_as_a_genuine_webhook(
    tmp_path: Path, receiver: WebhookReceiver, smtp: FaultSMTP
) -> None:
    async with service(tmp_path, receiver.url, smtp) as client:
        await hand_in(
            client,
            ("sent", "bob@customer.example"),
            ("failed", "x+rcpt.550@fault.example"),
            ("deferred", "x+rcpt.451@fault.example"),
        )
        await receiver.wait_for(lambda: len(receiver.taken) == 3)
    assert {taken.id: taken.event["type"] for taken in receiver.taken} == {
        "sent": "message.sent",
        "failed": "message.failed",
        "deferred": "message.deferred",
    }
    assert {tuple(taken.event["data"]["tags"]) for taken in receiver.taken} == {("test",)}
    assert receiver.forged == 0


async def test_a_poisoned_report_stays_pending_alone(
    tmp_path: Path, receiver: WebhookReceiver, smtp: FaultSMTP
) -> None:
    receiver.answer = lambda taken: Response(status_code=422 if taken.id == "poison" else 200)
    async with service(tmp_path, receiver.url, smtp) as client:
        await hand_in(
            client, ("poison", "p@x.example"), *((f"m{n}", "b@x.example") for n in range(30))
        )
        await receiver.wait_for(lambda: len(set(receiver.ids)) == 31)
        await hand_in(client, ("later", "b@x.example"))
        await receiver.wait_for(lambda: "later" in receiver.ids)
        poison = (await client.get("/messages/poison")).json()
    assert poison["reported_ts"] is None
    assert [report["acknowledged_ts"] for report in poison["reports"]] == [None]


# --- replay --------------------------------------------------------------------------------------


@pytest.fixture
def replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs ``asyncmail-webhook replay`` beside the service, with a configuration file like its own."""
    monkeypatch.setenv("ASYNCMAIL_PLUGINS__WEBHOOK__SECRET", SECRET)
    path = tmp_path / "service.toml"

    async def run(client: httpx.AsyncClient, url: str, *arguments: str, more: str = "") -> Result:
        port = client.base_url.port
        path.write_text(
            f'[server]\nport = {port}\napi_token = "{TOKEN}"\n'
            f'[plugins.webhook]\nurl = "{url}"\n{more}\n'
        )
        command = ["replay", "--config", str(path), *arguments]
        return await asyncio.to_thread(CliRunner().invoke, main, command)

    return run


async def test_results_can_be_posted_again_and_are_recognised_by_their_ids(
    tmp_path: Path, receiver: WebhookReceiver, smtp: FaultSMTP, replay: Callable[..., Any]
) -> None:
    async with service(tmp_path, receiver.url, smtp) as client:
        await hand_in(client, ("a/1", "b@x.example"), ("b", "x+rcpt.550@fault.example"))
        await receiver.wait_for(lambda: len(receiver.taken) == 2)
        first = {taken.id: taken for taken in receiver.taken}
        done = await replay(client, receiver.url, "a/1", "b")
    assert done.exit_code == 0, done.output
    again = receiver.taken[2:]
    assert [taken.id for taken in again] == ["a/1", "b"]
    for taken in again:
        assert taken.event == first[taken.id].event
        assert taken.headers["webhook-id"] == first[taken.id].headers["webhook-id"]
        assert f"{taken.headers['webhook-id']}: taken" in done.output


async def test_replay_says_what_it_could_not_post(
    tmp_path: Path, receiver: WebhookReceiver, smtp: FaultSMTP, replay: Callable[..., Any]
) -> None:
    async with service(tmp_path, receiver.url, smtp) as client:
        await hand_in(client, ("a", "b@x.example"), ("b", "b@x.example"))
        await receiver.wait_for(lambda: len(receiver.taken) == 2)
        unknown = await replay(client, receiver.url, "nobody", "a")
        unwanted = await replay(client, receiver.url, "a", more='events = ["message.failed"]')
        receiver.answer = lambda taken: Response(status_code=503)
        down = await replay(client, receiver.url, "a", "b")
        stranger = await replay(client, receiver.url, "a", "--token", "wrong")
    assert (unknown.exit_code, unwanted.exit_code, down.exit_code, stranger.exit_code) == ((1,) * 4)
    assert "nobody: no result to report" in unknown.output
    assert "taken" in unknown.output, "the others were posted all the same"
    assert "a: no result to report" in unwanted.output
    assert "stopped at a" in down.output
    assert "answers 401" in stranger.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[plugins.webhook]\nurl = "https://x.example/"\nsecert = "tell nobody"', "secert"),
        ("[plugins", "is not TOML"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_configuration_is_named_and_no_value_shown(
    tmp_path: Path, text: str | None, words: str
) -> None:
    path = tmp_path / "service.toml"
    if text is not None:
        path.write_text(text)
    done = CliRunner().invoke(main, ["replay", "--config", str(path), "m1"])
    assert done.exit_code == 1
    assert words in done.output
    assert "tell nobody" not in done.output


# --- the README ----------------------------------------------------------------------------------

README = (Path(__file__).parent.parent / "README.md").read_text()


async def test_the_receiver_in_the_readme_takes_what_the_sink_posts(
    sink: Callable[..., Any],
    report: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    monkeypatch.setenv("MAIL_WEBHOOK_SECRET", SECRET)
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    # A module's own names, which FastAPI resolves annotations with.
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(code, "README.md", "exec"), names)
    async with served(names["app"]) as address:
        await (await sink(url=f"{address}/hooks/mail")).deliver([report("m1")])
    assert capsys.readouterr().out == "message.sent m1\n"


async def test_the_example_in_the_readme_has_the_keys_of_a_webhook(
    sink: Callable[..., Any], report: Callable[..., Any], receiver: WebhookReceiver
) -> None:
    [text] = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    example = json.loads(text)
    await (await sink()).deliver([report()])
    [taken] = receiver.taken
    assert (list(example), list(example["data"])) == (list(taken.event), list(taken.event["data"]))
