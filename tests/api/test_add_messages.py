"""``POST /commands/add-messages``: each message is taken or rejected by itself, and the sum is right."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from .harness import ABSENT, Harness, message

PATH = "/commands/add-messages"


async def test_an_accepted_message_is_stored_before_the_answer(api: Harness) -> None:
    answer = await api.add(message())
    assert answer == {"ok": True, "queued": 1, "rejected": []}
    record = await api.record("m1")
    assert record["status"] == "queued"
    assert record["message"]["subject"] == "Order"
    assert record["message"]["message_id"], "fixed at accept"


async def test_an_empty_batch_is_fine(api: Harness) -> None:
    assert await api.add() == {"ok": True, "queued": 0, "rejected": []}


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_one_bad_message_never_fails_the_batch(api: Harness, at: int) -> None:
    messages = [message(f"good{n}") for n in range(2)]
    messages.insert(at, message("bad", to="nobody"))
    answer = await api.add(*messages)
    assert answer["queued"] == 2
    assert [r["id"] for r in answer["rejected"]] == ["bad"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": ABSENT}, "missing id"),
        ({"id": None}, "missing id"),
        ({"id": ""}, "missing id"),
        ({"id": "  "}, "missing id"),
        ({"id": 1}, "invalid payload"),
        ({"id": ["m1"]}, "invalid payload"),
        ({"id": "m" * 256}, "invalid payload"),
        ({"id": "m" * 10_000}, "invalid payload"),
        ({"id": "m\x00"}, "invalid payload"),
        ({"id": "m\n"}, "invalid payload"),
        ({"id": "m\u2028"}, "invalid payload"),
        ({"from": ABSENT}, "missing from"),
        ({"from": None}, "missing from"),
        ({"from": ""}, "missing from"),
        ({"from": ["a@example.com"]}, "invalid payload"),
        ({"from": "nobody"}, "invalid address"),
        ({"to": ABSENT}, "missing to"),
        ({"to": None}, "missing to"),
        ({"to": []}, "missing to"),
        ({"to": ""}, "missing to"),
        ({"to": [["a@example.com"]]}, "invalid payload"),
        ({"to": {"a": 1}}, "invalid payload"),
        ({"to": 7}, "invalid payload"),
        ({"to": ["a@"]}, "invalid address"),
        ({"to": ["a@example.com", ""]}, "invalid address"),
        ({"to": [f"a{n}@example.com" for n in range(501)]}, "too large"),
        ({"account_id": "unknown"}, "account not found"),
        ({"account_id": ABSENT}, "missing account configuration"),
        ({"account_id": None}, "missing account configuration"),
        ({"account_id": 1}, "invalid payload"),
        ({"priority": -1}, "invalid payload"),
        ({"priority": 4}, "invalid payload"),
        ({"priority": 99}, "invalid payload"),
        ({"priority": "urgent"}, "invalid payload"),
        ({"priority": "1"}, "invalid payload"),
        ({"priority": 1.5}, "invalid payload"),
        ({"priority": True}, "invalid payload"),
        ({"deferred_ts": True}, "invalid payload"),
        ({"deferred_ts": "1750000000"}, "invalid payload"),
        ({"deferred_ts": 1750000000.5}, "invalid payload"),
        ({"deferred_ts": -1}, "invalid payload"),
        ({"deferred_ts": 1_750_000_000 + 367 * 86400}, "invalid payload"),
        ({"deferred_ts": 1_750_000_000_000}, "invalid payload"),
        ({"deferred_ts": 10**30}, "invalid payload"),
        ({"expires_ts": "soon"}, "invalid payload"),
        ({"subject": "x" * 2001}, "too large"),
        ({"subject": 1}, "invalid payload"),
        ({"body": ABSENT}, "invalid payload: body is missing"),
        ({"body": 1}, "invalid payload"),
        ({"headers": {"X-A": True}}, "invalid payload"),
        ({"headers": {"X-A": ["x"]}}, "invalid payload"),
        ({"headers": {"X-A": "x" * 2001}}, "too large"),
        ({"headers": {f"X-{n}": "x" for n in range(101)}}, "too large"),
        ({"headers": []}, "invalid payload"),
        ({"attachments": [{"filename": "a.txt"}]}, "invalid payload"),
        ({"attachments": [{"storage_path": "/a", "fetch_mode": "ftp"}]}, "invalid payload"),
        ({"attachments": [{"storage_path": "/a", "content_md5": "x"}]}, "invalid payload"),
        ({"attachments": [{"storage_path": "/a"}] * 101}, "too large"),
        ({"on_uncertain": "maybe"}, "invalid payload"),
        ({"tags": "a"}, "invalid payload"),
    ],
)
async def test_a_faulty_message_is_rejected_with_a_stable_reason(
    api: Harness, fields: dict[str, Any], reason: str
) -> None:
    assert (await api.reason(message(**fields))).startswith(reason)
    assert api.store.pending() == 0


@pytest.mark.parametrize("item", [None, 1, "text", [], True])
async def test_an_entry_that_is_no_object_is_rejected_alone(api: Harness, item: Any) -> None:
    answer = await api.add(item, message())
    assert answer["queued"] == 1
    assert answer["rejected"][0]["id"] is None
    assert answer["rejected"][0]["reason"].startswith("invalid payload")


async def test_a_reason_repeats_nothing_of_the_message(api: Harness) -> None:
    secret = "s3cret"
    for fields in (
        {"headers": {secret: [secret]}},
        {"deferred_ts": secret},
        {"priority": secret},
        {"subject": [secret]},
        {"attachments": [{"storage_path": "/a", "fetch_mode": secret}]},
    ):
        assert secret not in await api.reason(message(**fields))


@pytest.mark.parametrize(
    ("given", "stored"),
    [(0, 0), (3, 3), ("immediate", 0), ("HIGH", 1), ("Medium", 2), ("low", 3), (None, 2)],
)
async def test_priorities_are_numbers_or_labels_in_any_case(
    api: Harness, given: Any, stored: int
) -> None:
    await api.add(message(priority=given))
    assert (await api.record("m1"))["priority"] == stored


async def test_the_batch_has_a_priority_for_messages_without_one(api: Harness) -> None:
    await api.add(message("own", priority=0), message("none"), default_priority="LOW")
    assert (await api.record("own"))["priority"] == 0
    assert (await api.record("none"))["priority"] == 3


async def test_a_deferred_time_in_the_past_means_now(api: Harness) -> None:
    now = int(api.clock.wall())
    await api.add(message("past", deferred_ts=now - 10), message("later", deferred_ts=now + 60))
    assert (await api.record("past"))["status"] == "queued"
    assert (await api.record("past"))["deferred_ts"] is None
    assert (await api.record("later"))["status"] == "deferred"
    assert (await api.record("later"))["deferred_ts"] == now + 60


async def test_what_only_the_service_may_set_is_ignored(api: Harness) -> None:
    mine = {
        "sent_ts": 1,
        "error_ts": 1,
        "error": "x",
        "reported_ts": 1,
        "state": "sent",
        "status": "sent",
        "retry_count": 7,
        "tenant_id": "other",
        "generation": 9,
        "from_name": "Shop",
        "html": True,
    }
    await api.add(message(**mine))
    record = await api.record("m1")
    assert record["status"] == "queued"
    assert (
        record["sent_ts"] is record["error_ts"] is record["error"] is record["reported_ts"] is None
    )
    assert record["message"]["retry_count"] == 0
    assert not {"sent_ts", "state", "status", "generation", "html"} & record["message"].keys()


async def test_text_and_html_count_only_without_a_body(api: Harness) -> None:
    await api.add(
        message("both", body=ABSENT, text="plain", html="<p>rich</p>"),
        message("body", text="plain", html="<p>rich</p>"),
    )
    assert (await api.record("both"))["message"]["html"] == "<p>rich</p>"
    assert not {"text", "html"} & (await api.record("body"))["message"].keys()


# --- ids -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message_id",
    ["a:b@c", "' OR 1=1--", '"} evil{', "../x", "%00", "a/b", "😀", "m" * 255, "a b", "?x=1#y"],
)
async def test_an_id_is_opaque(api: Harness, message_id: str) -> None:
    await api.add(message(message_id))
    found = await api.client.get("/messages", params={"limit": 1})
    assert found.json()["messages"][0]["id"] == message_id
    quoted = "".join(f"%{byte:02X}" for byte in message_id.encode())
    assert (await api.record(quoted))["id"] == message_id


async def test_a_repeated_id_is_a_duplicate_and_changes_nothing(api: Harness) -> None:
    await api.add(message(subject="first"))
    assert await api.reason(message(subject="second")) == "duplicate id: already queued"
    assert (await api.record("m1"))["message"]["subject"] == "first"


async def test_of_an_id_twice_in_one_batch_the_first_wins(api: Harness) -> None:
    answer = await api.add(
        message(subject="first"), message(subject="second"), message("\u00e9"), message("e\u0301")
    )
    assert answer["queued"] == 2
    assert [r["reason"] for r in answer["rejected"]] == [
        "duplicate id: already in this request"
    ] * 2
    assert (await api.record("m1"))["message"]["subject"] == "first"


async def test_an_id_is_never_both_rejected_and_queued(api: Harness) -> None:
    answer = await api.add(message(to="nobody"), message())
    assert answer["queued"] == 0


async def test_fifty_clients_with_one_id_queue_it_once(api: Harness) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(api.add(message())) for _ in range(50)]
    answers = [task.result() for task in tasks]
    assert sum(answer["queued"] for answer in answers) == 1
    reasons = [r["reason"] for answer in answers for r in answer["rejected"]]
    assert reasons == ["duplicate id: already queued"] * 49


# --- refused whole -------------------------------------------------------------------------------


async def test_a_service_that_stops_takes_nothing(api: Harness) -> None:
    api.scheduler.draining = True
    reply = await api.client.post(PATH, json={"messages": [message()]})
    assert reply.status_code == 503
    assert int(reply.headers["Retry-After"]) >= 1
    api.scheduler.draining = False
    assert (await api.client.get("/messages/m1")).status_code == 404


async def test_a_full_queue_takes_nothing(api: Harness) -> None:
    for n in range(10):
        await api.add(*(message(f"{n}-{m}", body="") for m in range(1000)))
    reply = await api.client.post(PATH, json={"messages": [message("one more")]})
    assert reply.status_code == 503
    assert "queue is full" in reply.json()["detail"]


async def test_accepting_goes_on_while_suspended(api: Harness) -> None:
    await api.client.post("/commands/suspend")
    assert (await api.add(message()))["queued"] == 1


async def test_inline_content_is_shown_as_its_size(api: Harness) -> None:
    inline = base64.b64encode(b"x" * 100).decode()
    raw = base64.b64encode(b"From: a@example.com\r\n\r\nhi\r\n").decode()
    await api.add(
        message(
            bcc=["hidden@example.org"],
            attachments=[{"storage_path": f"base64:{inline}", "filename": "a.bin"}],
        ),
        message("raw", raw=raw, body=ABSENT, subject=ABSENT),
    )
    shown = (await api.record("m1"))["message"]
    assert shown["attachments"] == [{"storage_path": "base64:100 bytes", "filename": "a.bin"}]
    assert shown["bcc"] == ["hidden@example.org"]
    assert (await api.record("raw"))["message"]["raw"] == "27 bytes"
