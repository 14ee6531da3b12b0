"""``messages``: paging, filters, history, deletion, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from stub_service import Answers, Run


def record(id: str, **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "account_id": "shop",
        "priority": 2,
        "status": "sent",
        "deferred_ts": None,
        "sent_ts": 1_750_000_000,
        "error_ts": None,
        "error": None,
        "reported_ts": None,
        "created_at": 1_750_000_000,
        "updated_at": 1_750_000_000,
        "message": {},
    } | more


def query(path: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(path).query)


def test_list_follows_the_pages_up_to_the_limit(call: Run, service: Answers) -> None:
    service.reply({"ok": True, "messages": [record("a"), record("b")], "next_cursor": "7"})
    service.reply({"ok": True, "messages": [record("c")], "next_cursor": "8"})
    found = json.loads(call("messages", "list", "--limit", "3", "--json").stdout)
    assert [r["id"] for r in found] == ["a", "b", "c"]
    assert [query(r.path) for r in service.requests] == [
        {"limit": ["3"]},
        {"limit": ["1"], "cursor": ["7"]},
    ]


def test_list_shows_a_table_and_passes_the_filters_on(call: Run, service: Answers) -> None:
    service.reply({"ok": True, "messages": [record("a", error="550 no\nsuch", deferred_ts=0)]})
    args = ("messages", "list", "--status", "error", "--account", "shop", "--active")
    heading, row = call(*args).stdout.splitlines()
    assert heading.split() == [
        "ID",
        "ACCOUNT",
        "PRIORITY",
        "STATUS",
        "CREATED",
        "DUE",
        "REPORTED",
        "ERROR",
    ]
    assert "2025-06-15 15:06:40Z" in row
    assert "1970-01-01 00:00:00Z" in row
    assert row.endswith("550 no\\nsuch")
    assert query(service.requests[0].path) == {
        "status": ["error"],
        "account_id": ["shop"],
        "active_only": ["true"],
        "limit": ["100"],
    }


def test_show_tells_every_attempt_reply_and_report(call: Run, service: Answers) -> None:
    recipient = {
        "recipient": "b@x",
        "outcome": "permanent",
        "code": 550,
        "enhanced": None,
        "text": "no",
    }
    history = record("a:1") | {
        "ok": True,
        "attempts": [{"started_ts": 0, "outcome": "error", "recipients": [recipient]}],
        "recipients": [recipient],
        "reports": [{"sink": "genropy", "acknowledged_ts": None}],
    }
    service.reply(history)
    stdout = call("messages", "show", "a:1").stdout
    assert service.requests[0].path == "/messages/a%3A1"
    assert "started_ts=1970-01-01 00:00:00Z outcome=error recipient=b@x" in stdout
    assert "code=550 text=no" in stdout
    assert "sink=genropy" in stdout
    service.reply(history)
    assert json.loads(call("messages", "show", "a:1", "--json").stdout) == history


def test_delete_says_what_went_and_fails_for_what_did_not(call: Run, service: Answers) -> None:
    service.reply({"ok": True, "removed": 2, "not_found": []})
    assert call("messages", "delete", "a", "b").stdout == "removed 2\n"
    assert service.requests[0].body == {"ids": ["a", "b"]}
    refusal = {"id": "c", "reason": "in flight"}
    service.reply({"ok": True, "removed": 0, "not_found": ["d"], "refused": [refusal]})
    stdout = call("messages", "delete", "c", "d", code=1).stdout
    assert stdout == "removed 0\nd: not found\nc: in flight\n"


def test_export_writes_the_lines_as_they_come(call: Run, service: Answers) -> None:
    lines = b'{"id":"a"}\n{"id":"\xc3\xa4"}\n'
    service.reply(lines, content_type="application/x-ndjson")
    assert call("messages", "export", "--status", "sent").stdout_bytes == lines
    assert service.requests[0].accept == "application/x-ndjson"
    assert query(service.requests[0].path) == {"status": ["sent"]}
    service.reply(lines, content_type="application/x-ndjson")
    call("messages", "export", "--output", "out.ndjson")
    assert Path("out.ndjson").read_bytes() == lines


def test_an_export_that_is_refused_leaves_no_file(call: Run, service: Answers) -> None:
    service.reply({"detail": "draining"}, status=503)
    assert "draining" in call("messages", "export", "--output", "out", code=1).stderr
    assert not Path("out").exists()
