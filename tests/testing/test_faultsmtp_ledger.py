"""The ledger tells the truth, and outlives everybody."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import pytest
from raw_smtp import MESSAGE, connect

from asyncmail.testing import FaultSMTP, read_ledger, read_unanswered


async def test_a_copy_is_in_the_ledger_before_its_reply(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    async with FaultSMTP(ledger=path) as server, connect(server.port) as client:
        assert await client.send("a@fault.test", "b@fault.test", data=MESSAGE + b"..x\r\n") == 250
        [line] = path.read_text().splitlines()
    entry = json.loads(line)
    data = MESSAGE + b".x\r\n"
    assert abs(entry.pop("time") - time.time()) < 60
    assert entry == {
        "event": "copy",
        "connection": 1,
        "message_id": "<m1@app.test>",
        "sender": "app@app.test",
        "recipients": ["a@fault.test", "b@fault.test"],
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "tls": "",
        "user": "",
    }
    assert read_ledger(path) == server.accepted
    assert server.accepted[0].data == data


async def test_a_copy_whose_client_died_is_marked_unanswered(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    async with FaultSMTP(ledger=path) as server:
        async with connect(server.port) as client:
            await client.envelope("x+dot.accept.sleep5000@fault.test")
            client.write(MESSAGE + b".\r\n")
            await server.wait_for(lambda: bool(server.accepted))
        await server.wait_for(lambda: bool(server.unanswered))
        assert server.dots_pending == 0
    assert read_ledger(path) == read_unanswered(path) == server.accepted


@pytest.mark.parametrize("line", [b".", b".hidden", b"..", b"plain"])
async def test_dot_stuffing_is_undone_on_every_line(line: bytes) -> None:
    stuffed = b"." + line if line.startswith(b".") else line
    async with FaultSMTP() as server, connect(server.port) as client:
        await client.send("a@fault.test", data=(stuffed + b"\r\n") * 2)
    assert server.accepted[0].data == (line + b"\r\n") * 2
    server.assert_clean()


async def test_copies_are_counted_by_message_and_recipient() -> None:
    async with FaultSMTP() as server, connect(server.port) as client:
        await client.send("a@fault.test", "b@fault.test")
        await client.send("b@fault.test")
    assert server.copies == {
        ("<m1@app.test>", "a@fault.test"): 1,
        ("<m1@app.test>", "b@fault.test"): 2,
    }


async def test_two_servers_may_write_to_one_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    async with FaultSMTP(ledger=path) as one, FaultSMTP(ledger=path) as two:
        for server in (one, two):
            async with connect(server.port) as client:
                await client.send("a@fault.test")
    assert len(read_ledger(path)) == 2
