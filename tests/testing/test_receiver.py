"""The report receiver records what it is sent and answers as it is told."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from itertools import repeat
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from asyncmail.testing import Failing, Post, Reply, ReportReceiver

SENT = {"id": "m1", "sent_ts": 1, "error_ts": None}
ERROR = {"id": "m2", "sent_ts": None, "error_ts": 1}
DEFERRED = {"id": "m3", "sent_ts": None, "error_ts": None, "deferred_ts": 1}


async def post(receiver: ReportReceiver, *reports: dict[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.post(
            receiver.url,
            json={"delivery_report": reports},
            headers={"Authorization": "Bearer t"},
        )


async def test_the_usual_answer_counts_the_reports() -> None:
    async with ReportReceiver() as receiver:
        response = await post(receiver, SENT, ERROR, DEFERRED, SENT)
        empty = await post(receiver)
    assert (response.status_code, response.json()) == (200, {"sent": 2, "error": 1, "deferred": 1})
    assert empty.json() == {"sent": 0, "error": 0, "deferred": 0}


async def test_every_request_is_recorded() -> None:
    async with ReportReceiver() as receiver:
        await post(receiver, SENT, ERROR)
        await post(receiver, SENT)
    first = receiver.posts[0]
    assert (first.method, first.path) == ("POST", "/proxy_sync")
    assert first.headers["authorization"] == "Bearer t"
    assert first.json() == {"delivery_report": [SENT, ERROR]}
    assert receiver.reports == [SENT, ERROR, SENT]
    assert receiver.by_id == {"m1": [SENT, SENT], "m2": [ERROR]}


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'{"delivery_report": 1}'])
async def test_a_request_that_is_no_report_is_recorded_too(body: bytes) -> None:
    async with ReportReceiver() as receiver, httpx.AsyncClient() as client:
        assert (await client.post(receiver.url, content=body)).status_code == 200
    assert (receiver.posts[0].body, receiver.posts[0].reports) == (body, ())


async def test_a_connection_is_kept_and_chunked_requests_are_read() -> None:
    async def chunks() -> Any:
        yield b'{"delivery_report":'
        yield json.dumps([SENT]).encode() + b"}"

    async with ReportReceiver() as receiver, httpx.AsyncClient() as client:
        for _ in range(2):
            assert (await client.post(receiver.url, content=chunks())).json()["sent"] == 1
    assert len(receiver.posts) == 2


async def test_the_script_comes_first_then_the_answer() -> None:
    script = [Reply(status=503, headers={"Retry-After": "7"}), lambda post: None]
    async with ReportReceiver(script=script, answer=Reply(status=429)) as receiver:
        answers = [await post(receiver, SENT) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 200, 429]
    assert answers[0].headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    ("body", "expected", "kind"),
    [
        (b"\x1f\x8b", b"\x1f\x8b", "application/json"),
        ("::NN", b"::NN", "text/html; charset=utf-8"),
        ([], b"[]", "application/json"),
        ({"ok": True}, b'{"ok": true}', "application/json"),
        ((b"a", b"b"), b"ab", "application/json"),
    ],
)
async def test_a_body_of_any_kind(body: Any, expected: bytes, kind: str) -> None:
    async with ReportReceiver(answer=Reply(body=body)) as receiver:
        response = await post(receiver)
    assert (response.content, response.headers["Content-Type"]) == (expected, kind)


async def test_a_redirect_can_be_answered() -> None:
    reply = Reply(status=307, headers={"Location": "http://other.test/login"}, body="<html>")
    async with ReportReceiver(answer=reply) as receiver:
        response = await post(receiver)
    assert (response.status_code, response.headers["Location"]) == (307, "http://other.test/login")


async def test_an_endless_body_goes_on_until_the_client_leaves() -> None:
    async with ReportReceiver(answer=Reply(body=repeat(b"x" * 1000))) as receiver:
        async with httpx.AsyncClient() as client, client.stream("POST", receiver.url) as response:
            got = 0
            async for data in response.aiter_raw():
                got += len(data)
                if got > 100_000:
                    break
        await receiver.wait_for(lambda: receiver.busy == 0)


async def test_a_delay_comes_before_the_answer() -> None:
    async with ReportReceiver(answer=Reply(delay=0.05)) as receiver:
        begin = time.monotonic()
        assert (await post(receiver)).status_code == 200
        assert time.monotonic() - begin >= 0.05


async def test_an_answer_can_come_byte_by_byte() -> None:
    async with ReportReceiver(answer=Reply(body=b"{}", drip=0.002)) as receiver:
        begin = time.monotonic()
        assert (await post(receiver)).json() == {}
        assert time.monotonic() - begin >= 0.1


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("cut", [0, 10, 95])
async def test_a_reply_can_be_lost_after_the_reports_were_taken(cut: int, reset: bool) -> None:
    reply = Reply(body=b"{" + b" " * 100 + b"}", cut=cut, reset=reset)
    async with ReportReceiver(answer=reply) as receiver:
        with pytest.raises(httpx.TransportError):
            await post(receiver, SENT)
        assert receiver.reports == [SENT]


async def test_raw_bytes_go_out_instead_of_http() -> None:
    async with ReportReceiver(answer=Reply(raw=b"220 not http\r\n")) as receiver:
        with pytest.raises(httpx.RemoteProtocolError):
            await post(receiver, SENT)


async def test_what_is_not_http_gets_400() -> None:
    async with ReportReceiver() as receiver:
        reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
        writer.write(b"EHLO me\r\n\r\n")
        async with asyncio.timeout(5):
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()
    assert receiver.posts == []


async def test_a_function_may_call_back_before_it_answers() -> None:
    async def pull(request: Post) -> Reply | None:
        async with httpx.AsyncClient() as client:
            await client.post(service.url, json={"messages": len(request.reports)})
        return Reply(body={"sent": 0, "error": 0, "deferred": 0, "queued": 1})

    async with ReportReceiver() as service, ReportReceiver(answer=pull) as receiver:
        assert (await post(receiver, SENT)).json()["queued"] == 1
    assert service.posts[0].json() == {"messages": 1}


async def test_waiting_ends_when_the_reports_are_there_or_the_time_is_up() -> None:
    async with ReportReceiver() as receiver:
        waiting = asyncio.create_task(receiver.wait_for(lambda: "m1" in receiver.by_id))
        await post(receiver, ERROR)
        assert not waiting.done()
        await post(receiver, SENT)
        await waiting
        with pytest.raises(TimeoutError):
            await receiver.wait_for(lambda: "m9" in receiver.by_id, timeout=0.01)


async def test_the_ledger_has_each_post_with_its_answer(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    script = [Reply(status=503), Reply(cut=0)]
    async with ReportReceiver(script=script, ledger=path) as receiver:
        assert (await post(receiver, SENT)).status_code == 503
        with pytest.raises(httpx.TransportError):
            await post(receiver, SENT)
        await post(receiver, SENT, ERROR)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["status"], line["acknowledges"], line["reports"]) for line in lines] == [
        (503, False, [SENT]),
        (200, False, [SENT]),
        (200, True, [SENT, ERROR]),
    ]
    assert receiver.acknowledged == [SENT, ERROR]


@pytest.mark.parametrize(
    ("reply", "acknowledges"),
    [
        (Reply(), True),
        (Reply(body={"ok": True}), True),
        (Reply(body={"error": ["m1"], "not_found": []}), True),
        (Reply(body="::NN"), True),
        (Reply(body={"error": "wrong password"}), False),
        (Reply(body="<html>"), False),
        (Reply(body=[]), False),
        (Reply(status=302), False),
        (Reply(cut=0), False),
    ],
)
def test_a_reply_acknowledges_as_the_contract_says(reply: Reply, acknowledges: bool) -> None:
    assert reply.acknowledges is acknowledges


async def test_a_share_of_failures_is_drawn_from_the_seed() -> None:
    request = Post(0.0, "POST", "/", {}, b"", ())

    def failures(seed: int) -> list[bool]:
        failing = Failing(10, seed)
        return [failing(request) is not None for _ in range(500)]

    assert failures(1) == failures(1) != failures(2)
    assert 25 <= sum(failures(1)) <= 75


async def test_https_is_spoken_where_a_context_is_given() -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with ReportReceiver(tls=context) as receiver:
        assert receiver.url.startswith("https://")
        async with httpx.AsyncClient(verify=trusting) as client:
            assert (await client.post(receiver.url, json={})).status_code == 200
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.ConnectError):
                await client.post(receiver.url, json={})


async def test_a_client_that_hangs_does_not_keep_the_receiver_from_closing() -> None:
    async with ReportReceiver(answer=Reply(delay=3600)) as receiver:
        with pytest.raises(httpx.ReadTimeout):
            async with httpx.AsyncClient(timeout=0.05) as client:
                await client.post(receiver.url)
        assert receiver.busy == 1
    assert receiver.busy == 0
