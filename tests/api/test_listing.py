"""``GET /messages``: records, filters, pages and streams."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asyncmail.api.listing import PAGE_BYTES, cursor_of, key_of
from asyncmail.model import DEFAULT_TENANT
from asyncmail.store.base import Lane

from .harness import Harness, State, message

KEYS = {
    *("id", "account_id", "priority", "status", "deferred_ts", "sent_ts", "error_ts", "error"),
    *("reported_ts", "created_at", "updated_at", "message"),
}


async def pages(api: Harness, **params: Any) -> list[list[str]]:
    """The ids, page by page, following the cursor."""
    found: list[list[str]] = []
    while True:
        reply = await api.client.get("/messages", params=params)
        assert reply.status_code == 200, reply.text
        answer = reply.json()
        found.append([record["id"] for record in answer["messages"]])
        if "next_cursor" not in answer:
            return found
        params["cursor"] = answer["next_cursor"]


async def test_lifecycle_keys_are_always_there(api: Harness) -> None:
    await api.add(message())
    record = (await api.client.get("/messages")).json()["messages"][0]
    assert record.keys() == KEYS
    assert record["created_at"] == int(api.clock.wall())
    assert record["message"]["retry_count"] == 0
    assert record["message"]["from"] == "shop@example.com"


async def test_pages_follow_each_other_by_cursor(api: Harness) -> None:
    await api.add(*(message(f"m{n}") for n in range(5)))
    assert await pages(api, limit=2) == [["m0", "m1"], ["m2", "m3"], ["m4"]]
    assert await pages(api, limit=5) == [["m0", "m1", "m2", "m3", "m4"]]
    assert await pages(api) == [["m0", "m1", "m2", "m3", "m4"]]


async def test_an_empty_store_has_one_empty_page(api: Harness) -> None:
    assert await pages(api) == [[]]


async def test_filters(api: Harness) -> None:
    later = int(api.clock.wall()) + 60
    await api.client.post("/account", json={"id": "other", "host": "smtp.example.com"})
    await api.add(message("sent"))
    await api.finish(sent=True)
    await api.add(message("failed"))
    await api.finish(sent=False)
    await api.add(message("waits", deferred_ts=later), message("other", account_id="other"))
    assert await pages(api, active_only=True) == [["waits", "other"]]
    assert await pages(api, status="sent") == [["sent"]]
    assert await pages(api, status=["sent", "error"]) == [["sent", "failed"]]
    assert await pages(api, status="deferred", account_id="shop") == [["waits"]]
    assert await pages(api, account_id="other") == [["other"]]
    assert await pages(api, status="sent", active_only=True) == [[]]


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0},
        {"limit": -1},
        {"limit": 10_001},
        {"limit": "all"},
        {"status": "lost"},
        {"cursor": "!"},
        {"cursor": ""},
        {"cursor": "é"},
        {"cursor": "a" * 10_000},
        {"active_only": "perhaps"},
    ],
)
async def test_a_wrong_parameter_is_named(api: Harness, params: dict[str, Any]) -> None:
    for accept in ("*/*", "application/x-ndjson"):
        reply = await api.client.get("/messages", params=params, headers={"Accept": accept})
        assert reply.status_code == 422, reply.text
        assert reply.json()["errors"][0]["pointer"] == next(iter(params))


def test_a_cursor_leads_back_to_its_key() -> None:
    assert [key_of(cursor_of(key)) for key in (1, 99, 2**62)] == [1, 99, 2**62]


async def test_ndjson_has_all_records_a_line_each(api: Harness) -> None:
    await api.add(*(message(f"m{n}") for n in range(1000)))
    await api.add(*(message(f"n{n}") for n in range(234)))
    headers = {"Accept": "application/x-ndjson"}
    reply = await api.client.get("/messages", headers=headers)
    assert reply.headers["content-type"].startswith("application/x-ndjson")
    records = [json.loads(line) for line in reply.text.splitlines()]
    assert len(records) == 1234
    assert records[0].keys() == KEYS
    limited = await api.client.get("/messages", params={"limit": 7}, headers=headers)
    assert len(limited.text.splitlines()) == 7


class TestBytes:
    async def test_a_page_ends_at_8_mib(self, api: Harness) -> None:
        body = "x" * 900_000
        for n in range(12):
            await api.add(message(f"m{n}", body=body))
        found = await pages(api)
        assert len(found) == 2
        assert [i for page in found for i in page] == [f"m{n}" for n in range(12)]
        assert len(found[0]) * len(body) <= PAGE_BYTES + len(body)


async def test_a_waiting_message_shows_why_its_account_waits(api: Harness) -> None:
    await api.add(message("done"))
    await api.finish(sent=True)
    await api.add(message("waits"))
    api.scheduler.states[Lane(DEFAULT_TENANT, "shop")] = State("broken", "535 no")
    assert (await api.record("waits"))["error"] == "535 no"
    assert (await api.record("done"))["error"] is None


async def test_one_message_has_its_whole_history(api: Harness) -> None:
    await api.store.activate_sinks(["sink"])
    await api.add(message())
    await api.finish(sent=False, text="no such user")
    record = await api.record("m1")
    assert record["ok"] is True
    assert record.keys() == KEYS | {"ok", "attempts", "recipients", "reports"}
    assert record["status"] == "error"
    (attempt,) = record["attempts"]
    assert attempt["outcome"] == "error"
    assert attempt["duration"] == 1.5
    refused = {
        "recipient": "ann@example.org",
        "outcome": "permanent",
        "code": 550,
        "enhanced": "5.1.1",
        "text": "no such user",
    }
    assert attempt["recipients"] == record["recipients"] == [refused]
    (report,) = record["reports"]
    assert (report["sink"], report["acknowledged_ts"]) == ("sink", None)


async def test_an_unknown_message_is_404(api: Harness) -> None:
    for path in ("nobody", "%00", "a/b", "x" * 5000):
        reply = await api.client.get(f"/messages/{path}")
        assert reply.status_code == 404
        assert reply.headers["content-type"] == "application/problem+json"
