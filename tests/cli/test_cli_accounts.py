"""``accounts``: what is asked of the service, and how its answers are told."""

from __future__ import annotations

import json

from stub_service import Answers, Run

ACCOUNTS = [
    {
        "id": "shop",
        "host": "mx",
        "port": 587,
        "user": None,
        "tls": "required",
        "transport": "smtp",
        "state": "broken",
        "last_error": "535 no\x1b[2J",
    }
]


def test_list_is_a_table_or_json(call: Run, service: Answers) -> None:
    service.reply({"ok": True, "accounts": ACCOUNTS})
    heading, row = call("accounts", "list").stdout.splitlines()
    assert heading.split() == [
        "ID",
        "HOST",
        "PORT",
        "USER",
        "TLS",
        "TRANSPORT",
        "STATE",
        *["LAST", "ERROR"],
    ]
    assert row.split()[:4] == ["shop", "mx", "587", "-"]
    assert "\x1b" not in row
    service.reply({"ok": True, "accounts": ACCOUNTS})
    assert json.loads(call("accounts", "list", "--json").stdout) == ACCOUNTS
    assert [(r.method, r.path) for r in service.requests] == [("GET", "/accounts")] * 2


def test_show_picks_one(call: Run, service: Answers) -> None:
    service.reply({"ok": True, "accounts": ACCOUNTS})
    assert "broken" in call("accounts", "show", "shop").stdout
    service.reply({"ok": True, "accounts": ACCOUNTS})
    assert "no account has the id 'other'" in call("accounts", "show", "other", code=1).stderr


def test_add_sends_what_was_given_and_nothing_else(call: Run, service: Answers) -> None:
    service.reply({"ok": True})
    call("accounts", "add", "a", "--host", "mx", "--limit-per-hour", "9", "--no-verify")
    (request,) = service.requests
    assert (request.method, request.path) == ("POST", "/account")
    assert request.body == {"id": "a", "host": "mx", "limit_per_hour": 9, "verify": False}


def test_a_password_comes_from_standard_input_and_is_not_shown(call: Run, service: Answers) -> None:
    service.reply({"ok": True})
    args = ("accounts", "add", "a", "--host", "mx", "--user", "u", "--password-stdin")
    result = call(*args, stdin="hidden pass \n")
    assert service.requests[0].body["password"] == "hidden pass "
    assert "hidden" not in result.output
    assert "no password" in call(*args, stdin="", code=1).stderr
    assert len(service.requests) == 1


def test_no_password_forgets_the_stored_one(call: Run, service: Answers) -> None:
    service.reply({"ok": True})
    call("accounts", "add", "a", "--host", "mx", "--no-password")
    assert service.requests[0].body["password"] is None
    call("accounts", "add", "a", "--no-password", "--password-stdin", code=2)


def test_remove_asks_first_and_quotes_the_id(call: Run, service: Answers) -> None:
    call("accounts", "remove", "a", stdin="n\n", code=1)
    call("accounts", "remove", "a", code=1)
    assert service.requests == []
    service.reply({"ok": True})
    call("accounts", "remove", "a/b:c@d", "--yes")
    assert (service.requests[0].method, service.requests[0].path) == (
        "DELETE",
        "/account/a%2Fb%3Ac%40d",
    )
