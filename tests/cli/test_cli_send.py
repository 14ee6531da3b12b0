"""``send``: one message from options, many from a file, in batches, with the sums told at the end."""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from stub_service import Answers, Run


def queued(count: int, *rejected: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "queued": count, "rejected": list(rejected)}


def sent(service: Answers) -> list[Any]:
    return [message for request in service.requests for message in request.body["messages"]]


def test_one_message_is_composed_from_the_options(call: Run, service: Answers) -> None:
    Path("a.txt").write_bytes(b"hello")
    service.reply(queued(1))
    result = call(
        *("send", "--from", "a@x", "--to", "b@x", "--to", "c@x", "--bcc", "d@x", "--subject", "S"),
        *("--body", "<p>", "--html", "--attach", "a.txt", "--account", "shop", "--priority", "1"),
        *("--id", "m1"),
    )
    assert result.stdout == "queued 1, rejected 0\n"
    assert service.requests[0].path == "/commands/add-messages"
    assert sent(service) == [
        {
            "id": "m1",
            "from": "a@x",
            "to": ["b@x", "c@x"],
            "bcc": ["d@x"],
            "subject": "S",
            "body": "<p>",
            "content_type": "html",
            "account_id": "shop",
            "priority": 1,
            "attachments": [
                {
                    "filename": "a.txt",
                    "storage_path": "base64:" + base64.b64encode(b"hello").decode(),
                    "mime_type": "text/plain",
                }
            ],
        }
    ]


def test_a_message_without_id_gets_one_of_its_own(call: Run, service: Answers) -> None:
    for _ in range(2):
        service.reply(queued(1))
        call("send", "--from", "a@x", "--to", "b@x", "--body", "-", stdin="text\n")
    first, second = sent(service)
    assert first["id"] != second["id"]
    assert first["body"] == "text\n"


FORMS = {
    "list.json": '[{"id": "1"},\n {"id": "2"}]',
    "one-line-list.json": '[{"id": "1"}, {"id": "2"}]\n',
    "object.json": '{\n "messages": [{"id": "1"}, {"id": "2"}]}',
    "one-line-object.json": '{"messages": [{"id": "1"}, {"id": "2"}]}',
    "lines.ndjson": '\ufeff{"id": "1"}\n\n{"id": "2"}\n',
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_a_file_is_read(call: Run, service: Answers, name: str) -> None:
    Path(name).write_text(FORMS[name], encoding="utf-8")
    service.reply(queued(2))
    call("send", name)
    assert sent(service) == [{"id": "1"}, {"id": "2"}]
    service.reply(queued(2))
    call("send", "-", stdin=FORMS[name].encode())
    assert sent(service)[2:] == [{"id": "1"}, {"id": "2"}]


def test_a_pretty_printed_message_is_one_message(call: Run, service: Answers) -> None:
    service.reply(queued(1))
    call("send", "-", stdin='{\n  "id": "1"\n}\n')
    assert sent(service) == [{"id": "1"}]


def test_many_go_in_batches_of_100_and_are_summed_up(call: Run, service: Answers) -> None:
    Path("m.ndjson").write_text("".join(f'{{"id": "{n}"}}\n' for n in range(250)))
    bad = {"id": "7", "reason": "missing to"}
    service.reply(queued(99, bad) | {"warnings": [{"id": "8", "warning": "odd"}]})
    service.reply(queued(100))
    service.reply(queued(50))
    result = call("send", "m.ndjson", code=1)
    assert [len(request.body["messages"]) for request in service.requests] == [100, 100, 50]
    assert [message["id"] for message in sent(service)] == [str(n) for n in range(250)]
    assert result.stdout == "queued 249, rejected 1\n7: missing to\n"
    assert "warning: 8: odd" in result.stderr


def test_json_tells_the_same(call: Run, service: Answers) -> None:
    service.reply(queued(0, {"id": None, "reason": "missing id"}))
    result = call("send", "-", "--json", stdin="{}", code=1)
    assert json.loads(result.stdout) == {
        "queued": 0,
        "rejected": [{"id": None, "reason": "missing id"}],
        "warnings": [],
    }


def test_what_went_before_a_failure_is_told(call: Run, service: Answers) -> None:
    service.reply(queued(100))
    lines = '{"id": "a"}\n' * 100 + "{broken\n"
    result = call("send", "-", stdin=lines, code=1)
    assert result.stdout == "queued 100, rejected 0\n"
    assert "line 101 is not JSON" in result.stderr
    assert "line 4 is not JSON" in call("send", "-", stdin='\n\n{"id": "a"}\n{', code=1).stderr
    service.reply(queued(100))
    service.reply({"detail": "the disk is full"}, status=503)
    result = call("send", "-", stdin='{"id": "a"}\n' * 150, code=1)
    assert result.stdout == "queued 100, rejected 0\n"
    assert "the disk is full" in result.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "m.json is not JSON"),
        (b"hello", "m.json is not JSON"),
        (b"3", "m.json holds no messages"),
        (b'{"messages": 3}', "m.json holds no messages"),
        (b"\xff", "m.json is not JSON"),
    ],
)
def test_a_file_without_messages_is_refused(
    call: Run, service: Answers, content: bytes, words: str
) -> None:
    Path("m.json").write_bytes(content)
    assert words in call("send", "m.json", code=1).stderr
    assert service.requests == []


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_alone(call: Run, service: Answers, terminal: bool) -> None:
    Path("m.ndjson").write_text('{"id": "a"}\n' * 150)
    service.reply(queued(100))
    service.reply(queued(50))
    ours, theirs = pty.openpty() if terminal else os.pipe()
    done = subprocess.run(
        [sys.executable, "-m", "asyncmail", "send", "m.ndjson"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm"},
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # how a terminal says that nobody writes to it any more
        while data := os.read(ours, 65536):
            shown += data
    os.close(ours)
    assert done.stdout == b"queued 150, rejected 0\n"
    assert (b"sending" in shown and b"150/150" in shown) if terminal else shown == b""


def test_wrong_usage(call: Run) -> None:
    call("send", code=2)
    call("send", "--from", "a@x", code=2)
    call("send", "-", "--to", "a@x", code=2)
    assert "No such file" in call("send", "absent.json", code=2).stderr
