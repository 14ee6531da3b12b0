"""Who is let in: by which header, with which token, and where none is asked for."""

from __future__ import annotations

import re

import pytest

from .harness import TOKEN, Harness, Server, routes

OPEN = {"/health", "/livez", "/readyz", "/docs", "/redoc", "/openapi.json", "/docs/assets/{name}"}
NO_TOKEN = {"X-API-Token": ""}


async def test_every_route_but_probes_and_docs_asks_for_the_token(api: Harness) -> None:
    del api.client.headers["X-API-Token"]
    found = routes(api)
    assert {p for _, p in found} >= {"/messages", "/metrics", "/account/{account_id:path}"} | OPEN
    for method, path in found:
        reply = await api.client.request(method, re.sub(r"{\w+(:path)?}", "favicon.png", path))
        assert (reply.status_code == 401) == (path.rstrip("/") not in OPEN), (path, reply.text)


@pytest.mark.parametrize(
    "token",
    [b"", b"wrong", TOKEN[:-1].encode(), TOKEN.encode() + b"x", b"x" * 100_000, "tøken".encode()],
)
async def test_a_wrong_token_is_refused(api: Harness, token: bytes) -> None:
    reply = await api.client.get("/status", headers={b"X-API-Token": token})
    assert reply.status_code == 401
    assert reply.headers["content-type"] == "application/problem+json"
    assert "WWW-Authenticate" in reply.headers


async def test_two_token_headers_are_one_too_many(api: Harness) -> None:
    del api.client.headers["X-API-Token"]
    headers = [("X-API-Token", TOKEN), ("X-API-Token", TOKEN)]
    assert (await api.client.get("/status", headers=headers)).status_code == 401


async def test_a_token_in_the_query_does_not_count(api: Harness) -> None:
    del api.client.headers["X-API-Token"]
    reply = await api.client.get("/status", params={"X-API-Token": TOKEN, "api_token": TOKEN})
    assert reply.status_code == 401


async def test_metrics_also_take_a_bearer_token_and_nothing_else_does(api: Harness) -> None:
    del api.client.headers["X-API-Token"]
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert (await api.client.get("/metrics", headers=bearer)).status_code == 200
    assert (
        await api.client.get("/metrics", headers={"Authorization": "Bearer no"})
    ).status_code == 401
    assert (await api.client.get("/status", headers=bearer)).status_code == 401


class TestRotation:
    @pytest.fixture
    def server(self) -> Server:
        return Server(tokens=("new", "old"))

    async def test_two_tokens_are_valid_at_once(self, api: Harness) -> None:
        for token, status in (("new", 200), ("old", 200), ("older", 401)):
            reply = await api.client.get("/status", headers={"X-API-Token": token})
            assert reply.status_code == status


class TestNoToken:
    @pytest.fixture
    def server(self) -> Server:
        return Server(tokens=())

    async def test_without_a_configured_token_everybody_is_let_in(self, api: Harness) -> None:
        assert (await api.client.get("/status", headers=NO_TOKEN)).status_code == 200

    async def test_but_no_page_of_another_web_site(self, api: Harness) -> None:
        reply = await api.client.post("/commands/suspend", headers={"Sec-Fetch-Site": "cross-site"})
        assert reply.status_code == 403
        assert api.scheduler.active


class TestDocsWithToken:
    @pytest.fixture
    def server(self) -> Server:
        return Server(docs="token")

    async def test_the_pages_ask_for_it(self, api: Harness) -> None:
        for path in ("/docs", "/redoc", "/openapi.json", "/docs/assets/swagger-ui.css"):
            assert (await api.client.get(path, headers=NO_TOKEN)).status_code == 401
            assert (await api.client.get(path)).status_code == 200


class TestDocsOff:
    @pytest.fixture
    def server(self) -> Server:
        return Server(docs="off")

    async def test_the_pages_are_not_there(self, api: Harness) -> None:
        for path in ("/docs", "/redoc", "/openapi.json"):
            assert (await api.client.get(path)).status_code == 404
