"""Against mail servers that nobody here wrote: all of it arrives, once, as it was composed."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP as Aiosmtpd  # noqa: N811 - a class named in capitals
from letters import assert_says, built, letters, lines, recipients
from programs import require_program

from asyncmail.testing.real_service import RealService, id_of, until

COUNT = 500
BATCH = 100


@pytest.fixture(autouse=True)
def _sbin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Debian keeps Postfix's programs, which the path of a user leaves out."""
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}/usr/sbin")


@pytest.fixture
def dumps(tmp_path: Path) -> Path:
    """A folder that ``smtp-sink`` may write to, whoever it runs as."""
    folder = tmp_path / "dumps"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


# --- Postfix -------------------------------------------------------------------------------------


@asynccontextmanager
async def smtp_sink(folder: Path) -> AsyncIterator[int]:
    """Postfix's ``smtp-sink``, which writes each transaction to a file of its own in its folder."""
    program = require_program("smtp-sink", "postfix")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    user = ("-u", "nobody") if os.geteuid() == 0 else ()
    process = await asyncio.create_subprocess_exec(
        program, *user, "-d", "%M.", f"127.0.0.1:{port}", "100", cwd=folder
    )
    try:
        await until(partial(_answers, port))
        yield port
    finally:
        process.terminate()
        await process.wait()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def read_dump(dump: Path) -> tuple[dict[str, list[str]], bytes]:
    """A transaction as ``smtp-sink`` wrote it: the arguments of each command, and the message."""
    seen, message = re.split(rb"\nReceived: .*(?:\n\t.*)*\n", dump.read_bytes(), maxsplit=1)
    arguments: dict[str, list[str]] = {}
    for line in seen.decode().splitlines():
        name, _, value = line.partition(": ")
        arguments.setdefault(name, []).append(value)
    return arguments, message.removesuffix(b"\n")


async def test_postfix_gets_every_message_once_and_as_composed(
    dumps: Path, service: RealService
) -> None:
    composed = {letter["message_id"]: letter for letter in letters(COUNT)}
    async with smtp_sink(dumps) as port:
        await service.start()
        await service.account(port)
        created = await _hand_in(service, list(composed.values()))
    arrived = {}
    for name in os.listdir(dumps):
        seen, data = read_dump(dumps / name)
        arrived[_message_id(data)] = seen, data
    assert len(os.listdir(dumps)) == COUNT
    assert arrived.keys() == composed.keys()
    for message_id, (seen, data) in arrived.items():
        letter = composed[message_id]
        (sender,) = seen["X-Mail-Args"]
        assert sender.split()[0] == f"<{letter.get('return_path', letter['from'])}>"
        assert sorted(seen["X-Rcpt-Args"]) == [f"<{to}>" for to in recipients(letter)]
        assert data == lines(built(letter, created[id_of(message_id)]))
        assert_says(data, letter)


# --- aiosmtpd ------------------------------------------------------------------------------------


class Box:
    """aiosmtpd's handler: keeps what comes."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, list[str], bytes]] = []

    async def handle_DATA(self, server: Any, session: Any, letter: Any) -> str:  # noqa: N802
        self.letters.append((letter.mail_from, letter.rcpt_tos, letter.content))
        return "250 2.0.0 thank you"


@asynccontextmanager
async def aiosmtpd(box: Box) -> AsyncIterator[int]:
    protocols: list[Any] = []

    def make() -> Aiosmtpd:
        protocols.append(Aiosmtpd(box, enable_SMTPUTF8=True, hostname="aiosmtpd.test"))
        return protocols[-1]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for protocol in protocols:
        if protocol.transport is not None:
            protocol.transport.abort()
    await server.wait_closed()
    await asyncio.sleep(0)


async def test_aiosmtpd_gets_every_message_once_and_byte_for_byte(service: RealService) -> None:
    box = Box()
    composed = {letter["message_id"]: letter for letter in letters(COUNT)}
    async with aiosmtpd(box) as port:
        await service.start()
        await service.account(port)
        created = await _hand_in(service, list(composed.values()))
    arrived = {_message_id(data): (sender, to, data) for sender, to, data in box.letters}
    assert len(box.letters) == COUNT
    assert arrived.keys() == composed.keys()
    for message_id, (sender, to, data) in arrived.items():
        letter = composed[message_id]
        assert sender == letter.get("return_path", letter["from"])
        assert sorted(to) == recipients(letter)
        assert data == built(letter, created[id_of(message_id)])
        assert_says(data, letter)


async def _hand_in(service: RealService, mails: list[dict[str, Any]]) -> dict[str, int]:
    """Wait until all of it is sent; when each message was made, by id."""
    for start in range(0, len(mails), BATCH):
        answer = await service.hand_in(mails[start : start + BATCH])
        assert answer == {"ok": True, "queued": BATCH, "rejected": []}
    await service.in_state("sent", len(mails))
    records = (await service.get("/messages", limit=len(mails)))["messages"]
    return {record["id"]: record["created_at"] for record in records}


def _message_id(data: bytes) -> str:
    found = re.search(rb"^Message-ID: (\S+)", data, re.MULTILINE)
    assert found
    return found[1].decode()
