"""What a body may be: how large, how deep, in which encoding, and what is said to one that is not."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest

from asyncmail.api.bodies import MAX_DEPTH, parse

from .harness import Harness, Server, message

PATH = "/commands/add-messages"
ITEM = b'{"id":"m1","account_id":"shop","from":"a@example.com","to":"b@example.com","body":"x"%s}'


def batch(extra: bytes) -> bytes:
    return b'{"messages":[' + ITEM % extra + b"]}"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"nul", 400),
        (b"null", 422),
        (b"[]", 422),
        (b"{}", 422),
        (b'"text"', 422),
        (b'{"messages":null}', 422),
        (b'{"messages":{}}', 422),
        (b'{"messages":[]} trailing', 400),
        (b'{"messages":[{"id":NaN}]}', 400),
        (b'{"messages":[{"id":"\\ud800"},Infinity]}', 400),
        (b'{"messages":[-Infinity]}', 400),
        (b"[" * 1000 + b"]" * 1000, 400),
        (b"[" * 100_000 + b"]" * 100_000, 400),
        (b'{"messages":["\\ud800",' + b"[" * 500 + b"]" * 500 + b"]}", 400),
        (b'{"messages":["\\ud800",' + b"[" * 50_000 + b"]" * 50_000 + b"]}", 400),
        (batch(b',"subject":"\xff"'), 400),
        ('{"messages":[]}'.encode("utf-16"), 400),
        (b"\xef\xbb\xbf" + b'{"messages":[]}', 400),
        (b'{"messages":[],"default_priority":1e400}', 422),
        (b'{"messages":[],"default_priority":true}', 422),
        (b'{"messages":[],"default_priority":"urgent"}', 422),
        (b"a=1&b=2", 400),
    ],
)
async def test_a_bad_body_is_refused_whole(api: Harness, body: bytes, status: int) -> None:
    reply = await api.client.post(PATH, content=body)
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert isinstance(reply.json()["detail"], str)
    assert api.store.pending() == 0


@pytest.mark.parametrize(
    "extra",
    [
        b',"deferred_ts":1e400',
        b',"deferred_ts":1' + b"0" * 30,
        b',"deferred_ts":' + b"9" * 5000,
        b',"headers":{"X-N":' + b"9" * 5000 + b"}",
        b',"subject":"\\ud800"',
        b',"subject":"\\udc00\\ud800"',
        b',"tags":["\\ud800"]',
        b',"headers":{"X-\\ud800":"x"}',
    ],
)
async def test_a_bad_value_fails_its_message_alone(api: Harness, extra: bytes) -> None:
    good = ITEM.replace(b"m1", b"good") % b""
    body = b'{"messages":[' + ITEM % extra + b"," + good + b"]}"
    reply = await api.client.post(PATH, content=body)
    assert reply.status_code == 200, reply.text
    answer = reply.json()
    assert answer["queued"] == 1
    assert [r["id"] for r in answer["rejected"]] == ["m1"]
    assert answer["rejected"][0]["reason"].startswith("invalid payload")


async def test_an_id_that_is_no_text_is_not_repeated(api: Harness) -> None:
    body = b'{"messages":[' + (ITEM % b"").replace(b"m1", b"\\ud800") + b"]}"
    answer = (await api.client.post(PATH, content=body)).json()
    assert answer["rejected"][0]["id"] is None


async def test_of_a_repeated_key_the_last_value_counts(api: Harness) -> None:
    body = batch(b',"subject":"first","subject":"last"')
    assert (await api.client.post(PATH, content=body)).json()["queued"] == 1
    assert (await api.record("m1"))["message"]["subject"] == "last"


def test_json_is_taken_as_deep_as_it_is_said() -> None:
    deepest = MAX_DEPTH - 1
    assert parse(b"[" * deepest + b"]" * deepest)


@pytest.mark.parametrize("kind", [None, "application/json", "application/json; charset=utf-8"])
async def test_json_is_read_with_and_without_its_name(api: Harness, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    reply = await api.client.post(PATH, content=batch(b""), headers=headers)
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "deflate"},
    ],
)
async def test_other_kinds_of_body_are_refused(api: Harness, headers: dict[str, str]) -> None:
    reply = await api.client.post(PATH, content=batch(b""), headers=headers)
    assert reply.status_code == 415
    assert api.store.pending() == 0


# --- size ----------------------------------------------------------------------------------------


async def test_1001_messages_are_refused_before_any_is_looked_at(api: Harness) -> None:
    messages = [message(f"m{n}") for n in range(1001)]
    reply = await api.client.post(PATH, json={"messages": messages})
    assert reply.status_code == 422
    assert reply.json()["errors"][0]["pointer"] == "#/messages"
    assert api.store.pending() == 0


async def test_1000_messages_are_taken(api: Harness) -> None:
    answer = await api.add(*(message(f"m{n}") for n in range(1000)))
    assert answer["queued"] == 1000


class TestLargeBodies:
    @pytest.fixture
    def server(self) -> Server:
        return Server(max_body_bytes=5_000_000)

    async def test_a_large_batch_leaves_the_loop_to_others(self, api: Harness) -> None:
        held: list[
            float
        ] = []  # CPU seconds of this thread between two turns: other load does not count

        async def watch() -> None:
            while True:
                before = time.thread_time()
                await asyncio.sleep(0)
                held.append(time.thread_time() - before)

        watcher = asyncio.create_task(watch())
        body = json.dumps({"messages": [message(f"m{n}", body="x" * 2048) for n in range(1000)]})
        reply = await api.client.post(PATH, content=body)
        watcher.cancel()
        assert reply.json()["queued"] == 1000
        assert max(held) < 0.05

    async def test_300000_empty_objects_get_a_short_answer_soon(self, api: Harness) -> None:
        body = b'{"messages":[' + b"{}," * 299_999 + b"{}]}"
        before = time.process_time()
        reply = await api.client.post(PATH, content=body)
        assert time.process_time() - before < 1
        assert reply.status_code == 422
        assert len(reply.content) < 65_536

    async def test_1000_empty_objects_get_a_reason_each(self, api: Harness) -> None:
        answer = await api.add(*({} for _ in range(1000)))
        assert {(r["id"], r["reason"]) for r in answer["rejected"]} == {(None, "missing id")}

    async def test_a_body_over_the_limit_is_refused(self, api: Harness) -> None:
        reply = await api.client.post(PATH, content=b" " * 5_000_001)
        assert reply.status_code == 413

    async def test_a_body_without_a_length_is_counted_as_it_arrives(self, api: Harness) -> None:
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            while sent < 50_000_000:
                sent += 65_536
                yield b" " * 65_536

        reply = await api.client.post(PATH, content=endless())
        assert reply.status_code == 413
        assert sent < 6_000_000

    async def test_bodies_that_are_too_large_together_are_refused(self, api: Harness) -> None:
        arrived = asyncio.Queue[None]()
        go_on = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b'{"messages":[]'
            yield b" " * 4_500_000
            arrived.put_nowait(None)
            await go_on.wait()
            yield b"}"

        async with asyncio.TaskGroup() as group:
            held = [group.create_task(api.client.post(PATH, content=slow())) for _ in range(4)]
            for _ in held:
                await arrived.get()
            reply = await api.client.post(PATH, content=b'{"messages":[]' + b" " * 4_500_000)
            assert reply.status_code == 503
            assert reply.headers["Retry-After"] == "1"
            go_on.set()
        assert [task.result().status_code for task in held] == [200] * 4
        assert (await api.client.post(PATH, content=b'{"messages":[]}')).status_code == 200

    async def test_a_length_that_is_no_number_is_refused(self, api: Harness) -> None:
        reply = await api.client.post(PATH, content=b"", headers={"Content-Length": "-1"})
        assert reply.status_code == 400
