"""The commands, as old and new clients write them."""

from __future__ import annotations

from typing import Any

import pytest

from asyncmail.errors import StoreUnavailable

from .harness import Harness, message


@pytest.mark.parametrize("slash", ["", "/"])
async def test_run_now_takes_an_empty_body_and_answers_at_once(api: Harness, slash: str) -> None:
    reply = await api.client.post(f"/commands/run-now{slash}")
    assert (reply.status_code, reply.json()) == (200, {"ok": True})
    assert api.scheduler.runs == 1


@pytest.mark.parametrize("slash", ["", "/"])
async def test_suspend_and_activate_say_what_is_now(api: Harness, slash: str) -> None:
    status = {True: {"ok": True, "active": True}, False: {"ok": True, "active": False}}
    for command, active in (("suspend", False), ("suspend", False), ("activate", True)):
        reply = await api.client.post(f"/commands/{command}{slash}")
        assert (reply.status_code, reply.json()) == (200, status[active])
        assert (await api.client.get("/status")).json() == status[active]


@pytest.mark.parametrize(
    ("body", "older_than"),
    [
        (b"", None),
        (b"{}", None),
        (b'{"older_than_seconds":null}', None),
        (b'{"older_than_seconds":0}', 0),
    ],
)
async def test_cleanup_takes_an_age_or_nothing(
    api: Harness, body: bytes, older_than: float | None
) -> None:
    reply = await api.client.post("/commands/cleanup-messages", content=body)
    assert (reply.status_code, reply.json()) == (200, {"ok": True, "removed": 0})
    assert api.scheduler.cleanups == [older_than]


@pytest.mark.parametrize("age", [-1, "86400", True, [], 1e300, 10**30])
async def test_cleanup_refuses_an_age_that_is_none(api: Harness, age: Any) -> None:
    reply = await api.client.post("/commands/cleanup-messages", json={"older_than_seconds": age})
    assert reply.status_code == 422
    assert api.scheduler.cleanups == []


# --- delete-messages -----------------------------------------------------------------------------


async def test_waiting_messages_are_deleted_and_unknown_ids_named(api: Harness) -> None:
    later = int(api.clock.wall()) + 60
    await api.add(message("now"), message("later", deferred_ts=later))
    ids = ["now", "nobody", "later", "now"]
    reply = await api.client.post("/commands/delete-messages", json={"ids": ids})
    assert reply.json() == {"ok": True, "removed": 2, "not_found": ["nobody"]}
    assert (await api.client.get("/messages")).json()["messages"] == []


async def test_a_message_in_flight_is_not_deleted(api: Harness) -> None:
    await api.add(message())
    await api.claim()
    reply = await api.client.post("/commands/delete-messages", json={"ids": ["m1"]})
    refused = [{"id": "m1", "reason": "in flight"}]
    assert reply.json() == {"ok": True, "removed": 0, "not_found": [], "refused": refused}


async def test_a_result_that_is_not_reported_yet_is_not_deleted(api: Harness) -> None:
    await api.store.activate_sinks(["sink"])
    await api.add(message())
    await api.finish(sent=True)
    reply = await api.client.post("/commands/delete-messages", json={"ids": ["m1"]})
    assert reply.json()["refused"] == [{"id": "m1", "reason": "not yet reported"}]
    await api.store.acknowledge("sink", await api.store.unreported("sink", 10))
    reply = await api.client.post("/commands/delete-messages", json={"ids": ["m1"]})
    assert reply.json()["removed"] == 1


@pytest.mark.parametrize("ids", [None, "m1", [1], [None], ["x"] * 1001, ["x"] * 200_000, {}])
async def test_delete_takes_a_list_of_at_most_1000_ids(api: Harness, ids: Any) -> None:
    reply = await api.client.post("/commands/delete-messages", json={"ids": ids})
    assert reply.status_code in (413, 422)
    assert len(reply.content) < 65_536


# --- probes --------------------------------------------------------------------------------------


async def test_probes_need_no_token_and_tell_nothing(api: Harness) -> None:
    for path in ("/health", "/livez", "/readyz"):
        reply = await api.client.get(path, headers={"X-API-Token": ""})
        assert (reply.status_code, reply.json()) == (200, {"status": "ok"})


async def test_a_stopping_service_is_alive_but_not_ready(api: Harness) -> None:
    api.scheduler.draining = True
    assert (await api.client.get("/livez")).status_code == 200
    reply = await api.client.get("/readyz")
    assert reply.status_code == 503
    assert "draining" in reply.json()["detail"]


async def test_the_store_being_away_is_503_with_retry_after(
    api: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*args: Any, **kwargs: Any) -> Any:
        raise StoreUnavailable("the database is locked", retry_after=7)

    monkeypatch.setattr(api.store, "add", away)
    reply = await api.client.post("/commands/add-messages", json={"messages": [message()]})
    assert reply.status_code == 503
    assert reply.headers["Retry-After"] == "7"
    assert reply.headers["content-type"] == "application/problem+json"


async def test_metrics_are_prometheus_text(api: Harness) -> None:
    reply = await api.client.get("/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'asyncmail_sent_total{account_id="default"} 0.0' in reply.text


async def test_plugins_are_listed(api: Harness) -> None:
    answer = (await api.client.get("/plugins")).json()
    assert answer["ok"] is True
    assert {"name", "package", "version", "status", "kinds", "error"} == answer["plugins"][0].keys()
    assert "traceback" not in answer["plugins"][0]
