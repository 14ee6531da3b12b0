"""Attachments from where nothing may be had, too many of them, and ones with nothing in them."""

from __future__ import annotations

import pytest
from bad_bench import Bench, attached, read


@pytest.mark.bad_input("sources that are not in use")
@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("/etc/passwd", None),
        ("etc/passwd", "filesystem"),
        ("file:///etc/passwd", None),
        ("home:../etc/passwd", None),
        ("https://127.0.0.1/", None),
        ("http://169.254.169.254/latest", "http_url"),
        ("gopher://127.0.0.1:25/", None),
        ("/proc/self/environ", "base64"),
    ],
)
async def test_what_nobody_was_told_to_fetch_is_not_fetched(
    bench: Bench, path: str, mode: str | None
) -> None:
    fields = attached(storage_path=path, **({"fetch_mode": mode} if mode else {}))
    message = bench.message(**fields)
    reply = await bench.post("/commands/add-messages", {"messages": [message]})
    if reply.json()["queued"]:
        assert await bench.delivered() == []
        shown = (await bench.ask("GET", f"/messages/{message['id']}")).json()
        assert shown["status"] == "error"
        assert shown["error"].startswith("Attachment fetch failed")
    else:
        assert "invalid payload" in reply.text


@pytest.mark.bad_input("many attachments")
async def test_a_hundred_are_taken_and_one_more_is_not(bench: Bench) -> None:
    (one,) = attached()["attachments"]
    assert (await bench.refused(attachments=[one] * 101)).startswith("too large: attachments")
    (copy,) = await bench.taken(attachments=[one] * 100)
    parts = list(read(copy).iter_attachments())
    assert [part.get_filename() for part in parts] == ["a.txt"] * 100


@pytest.mark.bad_input("many attachments")
async def test_an_attachment_may_be_empty(bench: Bench) -> None:
    (copy,) = await bench.taken(**attached(storage_path="base64:"))
    (part,) = read(copy).iter_attachments()
    assert part.get_payload(decode=True) == b""
