"""Something bad goes to the real REST API, and what holds for every bad thing is checked around it.

Always: an answer soon, no 5xx, no long error, no secret in it; nothing of what was refused is stored,
and its neighbours in the same request fare as if they had come alone.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import time
from email.message import EmailMessage
from typing import Any

import httpx

from asyncmail.testing import Copy, FaultSMTP
from asyncmail.testing.running import RunningService, mail

API_TOKEN = "canary-token-c7d1"
PASSWORD = "canary-password-8d1f"
CPU_SECONDS = 1.0  # of this process: other load does not count
WAITING_SECONDS = 30.0
ERROR_BYTES = 65_536

CRLF = ["\r\nX-Inj: 1", "\r\n\r\nX-Inj: 1", "\r\n X-Inj: 1"]
LF = ["\nX-Inj: 1", "\n"]
CR = ["\rX-Inj: 1", "\r"]
LINE_ENDS_BEYOND_ASCII = ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"]
CONTROLS = [chr(code) for code in (*range(32), 127, 128, 159) if chr(code) not in "\r\n"]


class Bench:
    """Hands in bad things. ``service`` and ``smtp`` are the real ones."""

    def __init__(self, service: RunningService, smtp: FaultSMTP) -> None:
        self.service = service
        self.client = service.client
        self.smtp = smtp
        self._judged = 0

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Any request, under what always holds of its answer."""
        started = time.process_time()
        async with asyncio.timeout(WAITING_SECONDS):
            reply = await self.client.request(method, path, **more)
        assert time.process_time() - started < CPU_SECONDS
        assert reply.status_code < 500, reply.text
        assert PASSWORD not in reply.text
        assert API_TOKEN not in reply.text
        if reply.status_code >= 400:
            assert len(reply.content) <= ERROR_BYTES
            assert reply.headers["content-type"] == "application/problem+json"
        return reply

    async def post(self, path: str, body: Any) -> httpx.Response:
        """JSON as it is written by hand: lone surrogates and NaN pass."""
        return await self.ask("POST", path, content=json.dumps(body).encode())

    async def stored(self) -> set[str]:
        """The ids of all messages that there are."""
        reply = await self.ask("GET", "/messages", headers={"Accept": "application/x-ndjson"})
        return {json.loads(line)["id"] for line in reply.content.splitlines()}

    async def reasons(self, *bad: Any) -> list[str]:
        """Why each is refused. They stand between good messages, which are all taken."""
        before = await self.stored()
        good = [self._id() for _ in range(len(bad) + 1)]
        batch: list[Any] = [mail(good[0])]
        for item, neighbour in zip(bad, good[1:], strict=True):
            batch += [item, mail(neighbour)]
        reply = await self.post("/commands/add-messages", {"messages": batch})
        assert reply.status_code == 200, reply.text
        answer = reply.json()
        rejected = answer["rejected"]
        assert len(rejected) == len(bad), f"of {bad!a} only {rejected!a} are refused"
        assert answer["queued"] == len(good)
        assert await self.stored() - before == set(good)
        assert all(entry["reason"].isprintable() for entry in rejected)
        return [entry["reason"] for entry in rejected]

    async def refused(self, **fields: Any) -> str:
        """Why a message that is good but for ``fields`` is refused."""
        (reason,) = await self.reasons(self.message(**fields))
        return reason

    async def taken(self, **fields: Any) -> list[Copy]:
        """The copies that the mail server gets of a message; ``read`` reads one."""
        await self.delivered()  # the neighbours of what was refused before
        message = self.message(**fields)
        reply = await self.post("/commands/add-messages", {"messages": [message]})
        assert reply.status_code == 200, reply.text
        assert reply.json()["queued"] == 1, reply.text
        return await self.delivered()

    async def empty(self) -> None:
        """Send what is due and forget everything, for the next test."""
        await self.delivered()
        ids = list(await self.stored())
        for start in range(0, len(ids), 1000):
            await self.post("/commands/delete-messages", {"ids": ids[start : start + 1000]})
        assert await self.stored() == set()

    async def delivered(self) -> list[Copy]:
        """What is due, sent now."""
        before = len(self.smtp.accepted)
        await self.service.dispatch()
        self.smtp.assert_clean()
        return self.smtp.accepted[before:]

    def message(self, **fields: Any) -> dict[str, Any]:
        """Good but for ``fields``; a field that is ``ABSENT`` is left out."""
        whole = {**mail(self._id()), **fields}
        return {name: value for name, value in whole.items() if value is not ABSENT}

    def _id(self) -> str:
        self._judged += 1
        return f"m{self._judged}"

    async def account_refused(self, **fields: Any) -> str:
        """Why an account that is good but for ``fields`` is refused; none is made or changed."""
        before = (await self.ask("GET", "/accounts")).json()
        good = {"id": "new", "host": "smtp.example.com", "password": PASSWORD}
        reply = await self.post("/account", {**good, **fields})
        assert reply.status_code == 422, reply.text
        assert (await self.ask("GET", "/accounts")).json() == before
        detail: str = reply.json()["detail"]
        return detail


ABSENT: Any = object()


def read(copy: Copy) -> EmailMessage:
    """What a reader sees, and that its parser stumbled over nothing."""
    parsed = email.message_from_bytes(copy.data, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert [part.defects for part in parsed.walk() if part.defects] == []
    return parsed


def attached(**fields: Any) -> dict[str, Any]:
    """The fields of a message with one small attachment."""
    return {"attachments": [{"filename": "a.txt", "storage_path": "base64:aGk=", **fields}]}
