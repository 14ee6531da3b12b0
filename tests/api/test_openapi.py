"""The OpenAPI document and the pages that show it, without internet and below any path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.routing import Mount

import asyncmail
from asyncmail.api import AccountPayload, AttachmentPayload, MessagePayload

from .harness import TOKEN, Harness

OPERATIONS = {
    "add_messages": "POST /commands/add-messages",
    "delete_messages": "POST /commands/delete-messages",
    "cleanup_messages": "POST /commands/cleanup-messages",
    "run_now": "POST /commands/run-now",
    "suspend": "POST /commands/suspend",
    "activate": "POST /commands/activate",
    "get_status": "GET /status",
    "put_account": "POST /account",
    "list_accounts": "GET /accounts",
    "delete_account": "DELETE /account/{account_id}",
    "list_messages": "GET /messages",
    "get_message": "GET /messages/{message_id}",
    "list_plugins": "GET /plugins",
    "get_metrics": "GET /metrics",
    "get_health": "GET /health",
    "get_livez": "GET /livez",
    "get_readyz": "GET /readyz",
}


async def document(api: Harness) -> dict[str, Any]:
    reply = await api.client.get("/openapi.json")
    assert reply.headers["content-type"] == "application/json"
    found: dict[str, Any] = reply.json()
    return found


def operations(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


async def test_operation_ids_never_change(api: Harness) -> None:
    found = await document(api)
    assert {op["operationId"]: path for path, op in operations(found)} == OPERATIONS


async def test_every_operation_has_its_schemas_errors_and_protection(api: Harness) -> None:
    found = await document(api)
    schemas = found["components"]["schemas"]
    for path, operation in operations(found):
        assert operation["responses"]["200"]["content"]
        is_open = operation["operationId"] in {"get_health", "get_livez", "get_readyz"}
        assert is_open or operation["security"], path
        for status, response in operation["responses"].items():
            if status != "200":
                assert set(response["content"]) == {"application/problem+json"}, path
        if path.startswith("POST") and "requestBody" in operation:
            name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            assert name.rpartition("/")[2] in schemas
            assert {"400", "413", "422", "503"} <= operation["responses"].keys()
    assert {ref.rpartition("/")[2] for ref in references(found)} <= schemas.keys()
    assert "HTTPValidationError" not in schemas
    listing = found["paths"]["/messages"]["get"]["responses"]["200"]["content"]
    assert set(listing) == {"application/json", "application/x-ndjson"}


async def test_messages_and_accounts_come_with_examples_that_are_taken(api: Harness) -> None:
    schemas = (await document(api))["components"]["schemas"]
    account = schemas["AccountPayload"]["example"]
    assert (await api.client.post("/account", json=account)).status_code == 200
    assert (await api.add(schemas["MessagePayload"]["example"]))["queued"] == 1
    assert schemas["MessagePayload"]["required"] == ["id", "from", "to"]


def test_the_payload_models_can_be_imported() -> None:
    found = MessagePayload.model_validate(
        {"id": "m", "from": "a@example.com", "to": "b@example.com"}
    )
    assert found.from_ == "a@example.com"
    assert AccountPayload.model_validate({"id": "a", "host": "h", "password": "p"}).has_password
    assert AttachmentPayload.model_validate({"storage_path": "/a"}).filename is None


def test_a_validation_error_does_not_show_its_input() -> None:
    with pytest.raises(ValidationError) as caught:
        AccountPayload.model_validate({"id": 5, "password": ["hunter2"]})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "/mail"])
async def test_the_pages_load_everything_from_the_service(api: Harness, prefix: str) -> None:
    app = Starlette(routes=[Mount(prefix, api.app)]) if prefix else api.app
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://mail.test") as browser:
        for page in ("/docs", "/redoc"):
            reply = await browser.get(prefix + page)
            assert reply.status_code == 200
            assert reply.headers["content-type"].startswith("text/html")
            assert "default-src 'self'" in reply.headers["Content-Security-Policy"]
            links = re.findall(r"""(?:href|src|spec-url|url)\s*[=:]\s*["']([^"']+)""", reply.text)
            assert len(links) >= 3
            for link in links:
                assert link.startswith(f"{prefix}/"), link
                assert (await browser.get(link)).status_code == 200
            assert "https://" not in reply.text
        document = (await browser.get(f"{prefix}/openapi.json")).json()
        assert document.get("servers", [{"url": ""}])[0]["url"] == prefix
        status = await browser.get(f"{prefix}/status", headers={"X-API-Token": TOKEN})
        assert status.status_code == 200


async def test_assets_are_the_known_files_only(api: Harness) -> None:
    for name in ("..%2fcore.py", "core.py", "%2e%2e/core.py", "unknown.js"):
        assert (await api.client.get(f"/docs/assets/{name}")).status_code == 404


async def test_no_page_tells_the_release(api: Harness) -> None:
    for path in ("/health", "/docs", "/redoc", "/openapi.json", "/nowhere"):
        assert asyncmail.__version__ not in (await api.client.get(path)).text
