"""Errors: one format, no echo, no inside views."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest

from .harness import CANARY, Harness, api_routes, message, routes

SECRET = "/srv/secret/mail.db: SELECT password"
BODIES: dict[str, Any] = {
    "/commands/add-messages": {"messages": [message()]},
    "/commands/delete-messages": {"ids": ["m1"]},
    "/account": {"id": "a", "host": "smtp.example.com"},
}


class Broken:
    """Stands where a part was, and fails at the first touch."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(SECRET)


def break_parts(api: Harness) -> None:
    """Replace what the endpoints hold by parts that fail."""
    held = {"ApiParts", "SQLiteStore", "StillScheduler"}
    for route in api_routes(api):
        for cell in route.endpoint.__closure__ or ():
            if type(cell.cell_contents).__name__ in held:
                cell.cell_contents = Broken()


async def test_an_unexpected_error_tells_nothing_but_its_id(
    api: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    found = routes(api)
    break_parts(api)
    failed = 0
    for method, path in found:
        url = re.sub(r"{\w+(:path)?}", "x", path)
        with caplog.at_level(logging.ERROR):
            caplog.clear()
            reply = await api.client.request(method, url, json=BODIES.get(path.rstrip("/"), {}))
        if reply.status_code == 500:
            failed += 1
            problem = reply.json()
            assert reply.headers["content-type"] == "application/problem+json"
            assert reply.headers["X-Request-ID"] == problem["request_id"]
            assert SECRET not in reply.text
            assert "Traceback" not in reply.text
            assert problem["request_id"] in caplog.text
    assert failed >= 12


async def test_every_reply_forbids_sniffing_and_storing(api: Harness) -> None:
    ids = set()
    for method, path in [*routes(api), ("GET", "/nowhere"), ("PUT", "/messages")]:
        reply = await api.client.request(method, re.sub(r"{\w+(:path)?}", "x", path))
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Cache-Control"] == "no-store"
        assert "access-control-allow-origin" not in reply.headers
        assert "server" not in reply.headers
        ids.add(reply.headers["X-Request-ID"])
    assert len(ids) > 20


@pytest.mark.parametrize("path", ["/nowhere", "//", "/%2e%2e/etc/passwd", "/" + "x" * 10_000])
async def test_an_unknown_path_is_404(api: Harness, path: str) -> None:
    reply = await api.client.get("http://mail.test" + path)
    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"
    assert len(reply.content) < 1000


async def test_every_path_with_every_other_method_is_405_and_says_which_is_allowed(
    api: Harness,
) -> None:
    allowed: dict[str, set[str]] = {}
    for method, path in routes(api):
        allowed.setdefault(re.sub(r"{\w+(:path)?}", "x", path), set()).add(method)
    for path, methods in allowed.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - methods:
            if (method, path) == ("DELETE", "/account/"):
                continue  # the account with an empty id, which there cannot be
            reply = await api.client.request(method, path)
            assert reply.status_code == 405, (method, path)
            assert set(reply.headers["Allow"].split(", ")) <= methods
            assert reply.headers["content-type"] == "application/problem+json"


async def test_a_problem_has_at_most_20_errors(api: Harness) -> None:
    many = {"id": 1, "host": 1, "port": "x", "timeouts": 1}
    many |= {f"limit_per_{w}": "x" for w in ("minute", "hour", "day")}
    reply = await api.client.post("/account", json=many)
    assert 2 < len(reply.json()["errors"]) <= 20
    reply = await api.client.post("/commands/delete-messages", json={"ids": [1] * 1000})
    problem = reply.json()
    assert len(problem["errors"]) == 20
    assert problem["errors"][3]["pointer"] == "#/ids/3"
    assert isinstance(problem["detail"], str)
    assert problem["status"] == 422
    assert len(reply.content) < 65_536


async def test_nothing_of_the_input_is_repeated(api: Harness) -> None:
    for path in ("/account", "/commands/delete-messages", "/commands/add-messages"):
        for body in (
            {CANARY: CANARY},
            {"id": CANARY, "host": CANARY + "!", "timeouts": {CANARY: CANARY, "dot": CANARY}},
            {"ids": {CANARY: CANARY}, "messages": CANARY, "default_priority": CANARY},
            [CANARY],
            CANARY,
        ):
            reply = await api.client.post(path, json=body)
            assert reply.status_code == 422, reply.text
            assert CANARY not in reply.text
        reply = await api.client.post(path, content=f"[{CANARY}]".encode())
        assert reply.status_code == 400
        assert CANARY not in reply.text
    reply = await api.client.get("/messages", params={"limit": CANARY, "status": CANARY})
    assert CANARY not in reply.text


async def test_the_password_comes_out_nowhere(
    api: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await api.client.post(
            "/account", json={"id": "a", "host": "smtp.example.com", "password": CANARY}
        )
        await api.add(message())
        for method, path in routes(api):
            if method == "GET":
                url = re.sub(r"{\w+(:path)?}", "m1", path)
                assert CANARY not in (await api.client.get(url)).text
    assert CANARY not in caplog.text
    assert CANARY not in repr(await api.store.accounts())
