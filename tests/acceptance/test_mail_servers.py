"""Against mail servers that nobody here wrote: all of it arrives, once, as it was composed."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from letters import assert_says, built, letters, lines, recipients
from mail_servers import Box, aiosmtpd, smtp_sink

from asyncmail.testing.real_service import RealService, id_of

COUNT = 500
BATCH = 100


@pytest.fixture
def dumps(tmp_path: Path) -> Path:
    """A folder that ``smtp-sink`` may write to, whoever it runs as."""
    folder = tmp_path / "dumps"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


# --- Postfix -------------------------------------------------------------------------------------


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
    async with smtp_sink(folder=dumps) as port:
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
