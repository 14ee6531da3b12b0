"""Accounts: what may be registered, what is shown of it, and that the password never is."""

from __future__ import annotations

from typing import Any

import pytest

from asyncmail.model import DEFAULT_TENANT, Account, OnUncertain, Tls
from asyncmail.store.base import Lane

from .harness import CANARY, Harness, State, message

LANE = Lane(DEFAULT_TENANT, "new")


async def put(api: Harness, **fields: Any) -> Account:
    reply = await api.client.post(
        "/account", json={"id": "new", "host": "smtp.example.com", **fields}
    )
    assert reply.status_code == 200, reply.text
    assert reply.json() == {"ok": True}
    account = await api.store.account(LANE)
    assert account is not None
    return account


async def listed(api: Harness, account_id: str = "new") -> dict[str, Any]:
    reply = await api.client.get("/accounts")
    assert reply.json()["ok"] is True
    found: dict[str, Any] = next(a for a in reply.json()["accounts"] if a["id"] == account_id)
    return found


async def test_an_account_can_be_used_as_soon_as_it_is_put(api: Harness) -> None:
    assert await api.reason(message(account_id="new")) == "account not found"
    await put(api)
    assert (await api.add(message(account_id="new")))["queued"] == 1


async def test_a_message_without_an_account_goes_by_the_account_named_default(api: Harness) -> None:
    await api.client.post("/account", json={"id": "default", "host": "smtp.example.com"})
    await api.add(message(account_id=None))
    assert (await api.record("m1"))["account_id"] == "default"


async def test_what_old_clients_send_besides_is_ignored(api: Harness) -> None:
    account = await put(api, tenant_id="other", name="Shop", timeout=30, created_at=1, revision=9)
    assert account.tenant_id == DEFAULT_TENANT
    assert account.timeouts == {}


@pytest.mark.bad_input("no password")
@pytest.mark.parametrize("sent", [None, ""])
async def test_only_an_absent_password_keeps_the_stored_one(api: Harness, sent: str | None) -> None:
    assert (await put(api, password="first")).password == "first"
    assert (await put(api, port=25)).password == "first"
    assert (await put(api, password="second")).password == "second"
    assert (await put(api, password=sent)).password is None


async def test_an_upsert_replaces_everything_else(api: Harness) -> None:
    await put(api, user="shop", limit_per_hour=5, tags=["x"])
    account = await put(api, port=2525)
    assert (account.user, account.limits.per_hour, account.port) == (None, None, 2525)


@pytest.mark.parametrize(
    ("fields", "tls", "port"),
    [
        ({}, Tls.REQUIRED, 587),
        ({"port": 465}, Tls.IMPLICIT, 465),
        ({"port": 587}, Tls.REQUIRED, 587),
        ({"port": 25}, Tls.REQUIRED, 25),
        ({"port": 465, "use_tls": True}, Tls.IMPLICIT, 465),
        ({"port": 587, "use_tls": True}, Tls.REQUIRED, 587),
        ({"port": 25, "use_tls": False}, Tls.OPPORTUNISTIC, 25),
        ({"tls": "implicit"}, Tls.IMPLICIT, 465),
        ({"port": 1025, "tls": "none"}, Tls.NONE, 1025),
        ({"port": 465, "tls": "none", "use_tls": True}, Tls.NONE, 465),
    ],
)
async def test_tls_is_on_unless_it_is_switched_off(
    api: Harness, fields: dict[str, Any], tls: Tls, port: int
) -> None:
    account = await put(api, **fields)
    assert (account.tls, account.port, account.verify) == (tls, port, True)


@pytest.mark.parametrize(
    ("behaviour", "over"), [("defer", False), ("error", True), ("reject", True), ("drop", True)]
)
async def test_reject_and_drop_are_read_as_error(api: Harness, behaviour: str, over: bool) -> None:
    account = await put(api, limit_per_day=5, limit_behavior=behaviour)
    assert account.limits.error_over is over
    assert (await listed(api))["limit_behavior"] == ("error" if over else "defer")


async def test_every_setting_reaches_the_store(api: Harness) -> None:
    account = await put(
        api,
        ttl=60,
        limit_per_minute=0,
        batch_size=10,
        verify=False,
        max_connections=3,
        transport="maildir",
        on_uncertain="hold",
        timeouts={"dot": 5, "command": 2.5, "nonsense": 1},
    )
    assert account.ttl == 60
    assert account.limits.windows == ()
    assert account.batch_size == 10
    assert account.verify is False
    assert account.max_connections == 3
    assert account.transport == "maildir"
    assert account.on_uncertain is OnUncertain.HOLD
    assert account.timeouts == {"dot": 5, "command": 2.5}


@pytest.mark.bad_input("account fields")
@pytest.mark.parametrize(
    "fields",
    [
        {"id": ""},
        {"id": None},
        {"id": "a" * 129},
        {"id": "a\n"},
        {"id": "a\x00"},
        {"id": 5},
        {"host": ""},
        {"host": None},
        {"host": "http://smtp.example.com"},
        {"host": "smtp.example.com:25"},
        {"host": "/var/run/smtp.sock"},
        {"host": "smtp example"},
        {"host": "smtp.example.com\r\nX: 1"},
        {"host": "h" * 1000},
        {"host": "-x.example.com"},
        {"port": 0},
        {"port": 65536},
        {"port": -1},
        {"port": "25"},
        {"port": True},
        {"port": 25.0},
        {"user": "shop\r\nX"},
        {"user": 5},
        {"password": 5},
        {"password": CANARY + "\x00"},
        {"password": CANARY * 100},
        {"ttl": 0},
        {"ttl": -1},
        {"ttl": 10**9},
        {"limit_per_minute": -1},
        {"limit_per_hour": 10**30},
        {"limit_per_day": "5"},
        {"limit_behavior": "ignore"},
        {"use_tls": "yes"},
        {"tls": "ssl"},
        {"verify": 0},
        {"batch_size": 0},
        {"max_connections": 0},
        {"transport": "pigeon"},
        {"transport": ""},
        {"on_uncertain": "maybe"},
        {"timeouts": {"dot": 0}},
        {"timeouts": {"dot": True}},
        {"timeouts": 5},
    ],
)
async def test_a_faulty_account_is_refused_and_nothing_of_it_repeated(
    api: Harness, fields: dict[str, Any]
) -> None:
    account = {"id": "new", "host": "smtp.example.com", "password": CANARY, **fields}
    reply = await api.client.post("/account", json=account)
    assert reply.status_code == 422, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["errors"]
    assert CANARY not in reply.text
    assert await api.store.account(LANE) is None


@pytest.mark.bad_input("half an account")
async def test_a_missing_field_does_not_echo_the_password(api: Harness) -> None:
    reply = await api.client.post("/account", json={"id": "new", "password": CANARY})
    assert reply.status_code == 422
    assert CANARY not in reply.text


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost", "mail.example.com."])
async def test_a_host_is_a_name_or_an_address(api: Harness, host: str) -> None:
    assert (await put(api, host=host)).host == host.strip("[]")


async def test_accounts_are_shown_with_their_state_and_without_their_password(
    api: Harness,
) -> None:
    api.scheduler.states[Lane(DEFAULT_TENANT, "shop")] = State("broken", "535 5.7.8 no")
    shown = await listed(api, "shop")
    assert "password" not in shown
    assert shown["has_password"] is True
    assert (shown["state"], shown["last_error"]) == ("broken", "535 5.7.8 no")
    assert CANARY not in (await api.client.get("/accounts")).text


@pytest.mark.parametrize("account_id", ["new", "a:b@c", "../x", "%00", "a/b", "😀"])
async def test_an_account_is_deleted_by_its_id(api: Harness, account_id: str) -> None:
    await put(api, id="new")
    await api.client.post("/account", json={"id": account_id, "host": "smtp.example.com"})
    quoted = "".join(f"%{byte:02X}" for byte in account_id.encode())
    reply = await api.client.delete(f"/account/{quoted}")
    assert (reply.status_code, reply.json()) == (200, {"ok": True})
    assert await api.store.account(Lane(DEFAULT_TENANT, account_id)) is None
    assert await api.reason(message(account_id=account_id)) == "account not found"


@pytest.mark.parametrize("account_id", ["unknown", "%00", "x" * 1000])
async def test_deleting_an_unknown_account_is_fine(api: Harness, account_id: str) -> None:
    reply = await api.client.delete(f"/account/{account_id}")
    assert (reply.status_code, reply.json()) == (200, {"ok": True})
