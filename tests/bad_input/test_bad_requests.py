"""Requests that are wrong before anything in them is read: tokens, paths, methods, pages of others."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from bad_bench import API_TOKEN, Bench
from fastapi.routing import APIRoute

from asyncmail.testing.running import mail

OPEN = {"/health", "/livez", "/readyz", "/docs", "/redoc", "/openapi.json", "/docs/assets/{name}"}
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "PROPFIND"}
NO_TOKEN = {"X-API-Token": ""}


def routes(bench: Bench) -> dict[str, set[str]]:
    """Each path that the application has, with its methods."""

    def walk(found: Iterable[Any]) -> Iterator[APIRoute]:
        for route in found:
            if isinstance(route, APIRoute):
                yield route
            else:
                yield from walk(getattr(route, "original_router", route).routes)

    methods: dict[str, set[str]] = {}
    for route in walk(bench.service.service.api.routes):
        methods.setdefault(route.path, set()).update(route.methods)
    return methods


def url(path: str) -> str:
    return re.sub(r"{\w+(:path)?}", "x", path)


@pytest.mark.bad_input("tokens")
async def test_everything_but_probes_and_pages_needs_the_token(bench: Bench) -> None:
    found = routes(bench)
    assert len(found) > 25
    for path, methods in found.items():
        for method in methods:
            reply = await bench.ask(method, url(path), headers=NO_TOKEN)
            is_open = path.rstrip("/") in OPEN
            assert (reply.status_code == 401) != is_open, (method, path)


@pytest.mark.bad_input("tokens")
@pytest.mark.parametrize(
    "token",
    [
        *(
            b"",
            b" ",
            b"wrong",
            API_TOKEN[:-1].encode(),
            API_TOKEN.encode() + b"x",
            b"\xff",
            b"\xc3",
        ),
        *(b"x" * 100_000, "tøken".encode(), API_TOKEN.upper().encode(), API_TOKEN.encode() * 2),
        *(API_TOKEN.encode() + b"\x00", f"Bearer {API_TOKEN}".encode(), f'"{API_TOKEN}"'.encode()),
    ],
)
async def test_only_the_token_itself_is_the_token(bench: Bench, token: bytes) -> None:
    for path in ("/status", "/metrics"):
        reply = await bench.ask("GET", path, headers={b"X-API-Token": token})
        assert reply.status_code == 401
        reply = await bench.ask(
            "GET", "/status", headers={b"Authorization": token, b"X-API-Token": b""}
        )
        assert reply.status_code == 401


@pytest.mark.bad_input("tokens in other places")
async def test_a_token_counts_once_and_in_its_header(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        for more in (
            {"headers": [("X-API-Token", API_TOKEN)]},  # besides the client's own: two
            {"headers": {"X-API-Token": f"{API_TOKEN},{API_TOKEN}"}},
            {"headers": NO_TOKEN, "params": {"X-API-Token": API_TOKEN, "token": API_TOKEN}},
            {"headers": {**NO_TOKEN, "Authorization": f"Bearer {API_TOKEN}"}},
            {"headers": {**NO_TOKEN, "Cookie": f"X-API-Token={API_TOKEN}"}},
        ):
            if isinstance(more["headers"], list):
                more["headers"] = [*more["headers"], ("X-API-Token", API_TOKEN)]
            reply = await bench.ask("GET", "/status", **more)
            assert reply.status_code == 401
    shown = [r.getMessage() for r in caplog.records if not r.name.startswith(("httpx", "httpcore"))]
    assert API_TOKEN not in "".join(shown)


@pytest.mark.bad_input("paths and methods")
async def test_every_other_method_is_405_and_told_the_right_one(bench: Bench) -> None:
    for path, methods in routes(bench).items():
        for method in METHODS - methods:
            if path == "/account/" and method == "DELETE":
                continue  # the account with an empty id, which there cannot be
            reply = await bench.ask(method, url(path))
            assert reply.status_code == 405, (method, path)
            assert set(reply.headers["Allow"].split(", ")) <= methods


@pytest.mark.bad_input("paths and methods")
@pytest.mark.parametrize(
    "path",
    [
        *(
            "/nowhere",
            "//",
            "//status",
            "/%2e%2e/etc/passwd",
            "/status/../status/x",
            "/\\",
            "/STATUS",
        ),
        *(
            "/" + "x" * 10_000,
            "/status;x",
            "/docs/assets/../../etc/passwd",
            "/docs/assets/%2e%2e%2fx",
        ),
        *("/commands", "/commands/", "/commands/add-messages/x", "/%00", "/status%00", "/é"),
    ],
)
async def test_an_unknown_path_is_404(bench: Bench, path: str) -> None:
    reply = await bench.ask("GET", "http://test" + path)
    assert reply.status_code == 404
    assert len(reply.content) < 1000


@pytest.mark.bad_input("paths and methods")
@pytest.mark.parametrize(
    "id", ["%00", "%0d%0aX-Inj:1", "%ff", "%ed%a0%80", "x" * 10_000, "%2e%2e", "a/b"]
)
async def test_an_id_in_a_path_is_only_an_id(bench: Bench, id: str) -> None:
    assert (await bench.ask("GET", f"/messages/{id}")).status_code == 404
    assert (await bench.ask("DELETE", f"/account/{id}")).status_code in (200, 404)
    accounts = (await bench.ask("GET", "/accounts")).json()["accounts"]
    assert {"shop", "vault"} <= {account["id"] for account in accounts}


@pytest.mark.bad_input("query parameters")
@pytest.mark.parametrize(
    "query",
    [
        *(
            "limit=0",
            "limit=-1",
            "limit=10001",
            "limit=x",
            "limit=1e3",
            "limit=",
            f"limit={9 * 10**30}",
        ),
        *("status=lost", "status=", "status=sent&status=lost", "active_only=perhaps", "cursor=x"),
        *("cursor=", "cursor=%00", "cursor=" + "a" * 5000, "account_id=" + "a" * 129, "limit=%00"),
        *(
            "limit=5&limit=x",
            "cursor=azk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5",
            "status=" + "x" * 5000,
        ),
    ],
)
async def test_a_wrong_query_parameter_is_named(bench: Bench, query: str) -> None:
    for accept in ("application/json", "application/x-ndjson"):
        reply = await bench.ask("GET", f"/messages?{query}", headers={"Accept": accept})
        assert reply.status_code == 422
        assert reply.json()["errors"][0]["pointer"].startswith(query.partition("=")[0])


@pytest.mark.bad_input("query parameters")
@pytest.mark.parametrize(
    "query", ["x=1", "%00=%ff", "account_id=%00", "account_id=%ed%a0%80", "&&=", "a" * 5000]
)
async def test_what_is_no_parameter_changes_nothing(bench: Bench, query: str) -> None:
    assert (await bench.ask("GET", f"/messages?{query}")).status_code == 200


@pytest.mark.bad_input("requests of web pages")
async def test_no_page_of_another_site_is_let_in(bench: Bench) -> None:
    for method in ("OPTIONS", "GET", "POST"):
        reply = await bench.ask(
            method,
            "/status",
            headers={
                "Origin": "https://evil.example",
                "Host": "evil.example",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "X-API-Token",
            },
        )
        assert not [name for name in reply.headers if name.startswith("access-control")]
        assert reply.status_code == (200 if method == "GET" else 405)


@pytest.mark.bad_input("what replies tell")
async def test_no_reply_tells_versions_paths_or_numbers_of_customers(bench: Bench) -> None:
    for path in ("/health", "/livez", "/readyz", "/nowhere", "/status"):
        reply = await bench.ask("GET", path, headers=NO_TOKEN)
        assert "server" not in reply.headers
        assert not re.search(r"\d+\.\d+\.\d+|/home|/work|/tmp|\.py|sqlite", reply.text), path
    for path in ("/health", "/livez", "/readyz"):
        assert (await bench.ask("GET", path, headers=NO_TOKEN)).json() == {"status": "ok"}


@pytest.mark.bad_input("what replies tell")
async def test_every_reply_says_what_it_is_and_that_it_is_not_to_be_kept(bench: Bench) -> None:
    for path, methods in routes(bench).items():
        for method in [*methods, "PUT"]:
            reply = await bench.ask(method, url(path))
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
            assert "charset" in reply.headers["Content-Type"] or reply.headers["Content-Type"] in {
                *("application/json", "application/problem+json", "image/png", "text/javascript")
            }
            if not path.startswith(("/docs", "/redoc")):
                assert reply.headers["Cache-Control"] == "no-store"


@pytest.mark.bad_input("many wrong tokens")
async def test_a_wrong_token_costs_no_look_at_the_database_and_no_line_in_the_log(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched(*args: Any, **more: Any) -> Any:
        raise AssertionError("the store was asked")

    store = type(bench.service.service.store)
    for name in ("add", "messages", "history", "accounts", "remove_messages", "put_account"):
        monkeypatch.setattr(store, name, touched)
    started, count = time.process_time(), 300
    for _ in range(count):
        reply = await bench.client.post(
            "/commands/add-messages", json={"messages": [mail()]}, headers=NO_TOKEN
        )
        assert reply.status_code == 401
    assert (time.process_time() - started) / count < 0.01  # client and application together
    assert not [r for r in caplog.records if r.name.startswith("asyncmail")]
    monkeypatch.undo()


@pytest.mark.bad_input("internal errors")
async def test_an_internal_error_of_any_route_tells_only_its_id(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "/srv/secret/mail.db: SELECT password FROM accounts"
    good = {
        "/commands/add-messages": {"messages": [mail()]},
        "/commands/delete-messages": {"ids": ["x"]},
        "/account": {"id": "new", "host": "smtp.example.com"},
    }

    def broken(*args: Any, **more: Any) -> Any:
        raise RuntimeError(secret)

    service = bench.service.service
    for part in (service.store, service.scheduler, service.metrics):
        for name in dir(type(part)):
            if not name.startswith("_") and callable(getattr(type(part), name)):
                monkeypatch.setattr(type(part), name, broken)
    failed = set()
    for path, methods in routes(bench).items():
        for method in methods:
            reply = await bench.client.request(
                method, url(path), json=good.get(path.rstrip("/"), {})
            )
            if reply.status_code == 500:
                failed.add(path.rstrip("/"))
                problem = reply.json()
                assert problem.keys() == {"type", "title", "status", "detail", "request_id"}
                assert secret not in reply.text
                assert "Traceback" not in reply.text
                assert reply.headers["X-Request-ID"] == problem["request_id"]
                assert problem["request_id"] in caplog.text
    monkeypatch.undo()
    assert failed >= {
        *("/commands/add-messages", "/commands/delete-messages", "/commands/cleanup-messages"),
        *("/commands/run-now", "/commands/suspend", "/commands/activate", "/account", "/accounts"),
        *("/account/{account_id:path}", "/messages", "/messages/{message_id:path}", "/metrics"),
    }


@pytest.mark.bad_input("large listings")
async def test_a_page_ends_at_its_bytes_and_leads_to_the_next(bench: Bench) -> None:
    await bench.service.hand_in(*(mail(f"n{n}", body="x" * 40_000) for n in range(90)))
    for k in range(1, 6):
        await bench.service.hand_in(*(mail(f"n{k}-{n}", body="x" * 40_000) for n in range(90)))
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 10_000}
    pages = 0
    while True:
        reply = await bench.ask("GET", "/messages", params=params)
        pages += 1
        assert len(reply.content) < 9 * 2**20
        answer = reply.json()
        seen += [record["id"] for record in answer["messages"]]
        if "next_cursor" not in answer:
            break
        params["cursor"] = answer["next_cursor"]
    assert (len(seen), len(set(seen)), pages) == (540, 540, 3)


@pytest.mark.bad_input("many at once")
async def test_other_requests_are_answered_while_bad_ones_are_refused(bench: Bench) -> None:
    bad = b'{"messages":[' + b"{}," * 299_999 + b"{}]}"
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(bench.client.post("/commands/add-messages", content=bad))
        answers = [group.create_task(bench.ask("GET", "/status")) for _ in range(20)]
    assert [task.result().status_code for task in answers] == [200] * 20
