"""``asyncmail demo``: the real service between a real SMTP server and a real report receiver.

Everything goes through the REST API. The figures come from the two receivers' own ledgers and from what
the API answered, never from the service's own counters.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from asyncmail.app import running
from asyncmail.config import (
    ClientSettings,
    DeliverySettings,
    ServerSettings,
    Settings,
    StorageSettings,
)
from asyncmail.errors import ConfigurationError
from asyncmail.server import listening
from asyncmail.testing import FaultSMTP, ReportReceiver

BATCH = 100  # messages per request
WAIT_SECONDS = 120.0  # for everything to be reported
LOOK_SECONDS = 0.1
RATE_LIMIT = 3  # transactions per minute of the limited account
DEFER_SECONDS = 3
PIXEL = (
    "base64:iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/"
    "iZk9HQAAAABJRU5ErkJggg=="
)
INVITATION = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//asyncmail//demo//EN
METHOD:REQUEST
BEGIN:VEVENT
UID:demo@shop.example
DTSTAMP:20260101T090000Z
DTSTART:20260102T090000Z
DTEND:20260102T100000Z
SUMMARY:A meeting
ORGANIZER:mailto:orders@shop.example
END:VEVENT
END:VCALENDAR
"""

Payload = dict[str, Any]


# --- what is sent --------------------------------------------------------------------------------


def accounts(smtp_port: int) -> list[Payload]:
    """Three accounts on the same server: an ordinary one, one that holds, one with a rate limit."""
    common = {"host": "127.0.0.1", "port": smtp_port, "tls": "none"}
    return [
        {"id": "shop", **common},
        {"id": "careful", "on_uncertain": "hold", **common},
        {"id": "limited", "limit_per_minute": RATE_LIMIT, "limit_behavior": "error", **common},
    ]


def scenario(count: int) -> Iterator[Payload]:
    """Mail of every kind: ``count`` that simply arrives, and some of each thing that can happen."""
    yield from (_ordinary(number) for number in range(count))
    for number in range(20):
        yield _mail(f"busy-{number}", f"busy{number}+rcpt.451.once@fault.example")
        yield _mail(f"unknown-{number}", f"unknown{number}+rcpt.550@fault.example")
    yield _mail("drop-before-dot", "early+data.drop.once@fault.example")
    yield _mail("drop-after-dot", "late+dot.accept.drop.once@fault.example")
    yield _mail("held", "kept+dot.accept.drop.once@fault.example", account_id="careful")
    yield _mail("partly", ["fine@customer.example", "gone+rcpt.550@fault.example"])
    for number in range(5):
        yield _mail(f"tomorrow-{number}", deferred_ts=int(time.time()) + DEFER_SECONDS)
    for number in range(10):
        yield _mail(f"limited-{number}", account_id="limited")
    yield {**_mail("no-sender"), "from": ""}
    yield _mail("bad-address", "nobody@")
    yield _mail("no-account", account_id="nowhere")


def _mail(id: str, to: str | list[str] = "", **more: Any) -> Payload:
    return {
        "id": id,
        "account_id": "shop",
        "from": "Shop <orders@shop.example>",
        "to": to or f"{id}@customer.example",
        "subject": f"Your order {id}",
        "body": "Thank you for your order.\n",
        "message_id": f"<{id}@shop.example>",
        **more,
    }


def _ordinary(number: int) -> Payload:
    mail = _mail(f"order-{number}", priority=number % 4)
    match number % 7:
        case 0:
            mail |= {"body": "<p>Thank you for your <b>order</b>.</p>", "content_type": "html"}
        case 1:
            del mail["body"]
            mail |= {"text": "Thank you.\n", "html": "<p>Thank you.</p>"}
        case 2:
            mail |= {"subject": "Grüße aus dem Süden ☀", "body": "Schöne Grüße!\n"}
        case 3:
            invoice = {"filename": "invoice.txt", "storage_path": "base64:VG90YWw6IDQyCg=="}
            mail |= {"attachments": [invoice]}
        case 4:
            pixel = {"filename": "logo.png", "storage_path": PIXEL, "content_id": "logo"}
            mail |= {"body": '<img src="cid:logo">', "content_type": "html", "attachments": [pixel]}
        case 5:
            mail |= {"calendar": INVITATION}
        case _:
            mail |= {"cc": f"copy{number}@customer.example", "headers": {"X-Campaign": "demo"}}
    return mail


# --- the neighbourhood ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The service and its two neighbours, all running."""

    url: str
    client: httpx.AsyncClient
    smtp: FaultSMTP
    receiver: ReportReceiver


@asynccontextmanager
async def neighbourhood(folder: Path, port: int) -> AsyncIterator[Neighbourhood]:
    """Start the three on loopback, with everything they write in ``folder``.

    Another port is picked where ``port`` is taken.
    """
    async with AsyncExitStack() as stack:
        smtp = await stack.enter_async_context(FaultSMTP(ledger=folder / "smtp.jsonl"))
        receiver = await stack.enter_async_context(ReportReceiver(ledger=folder / "reports.jsonl"))
        settings = Settings(
            server=ServerSettings(port=port),
            storage=StorageSettings(
                url=f"sqlite:///{folder / 'asyncmail.db'}",
                key_file=folder / "asyncmail.key",
                min_free_bytes=0,
            ),
            delivery=DeliverySettings(retry_delays=(1, 2)),
            client=ClientSettings(proxy_sync_url=receiver.url),
        )
        service = await stack.enter_async_context(running(settings))
        try:
            url = await stack.enter_async_context(listening(service, port))
        except ConfigurationError:
            url = await stack.enter_async_context(listening(service, 0))
        stack.push_async_callback(service.stop)
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=60))
        yield Neighbourhood(url, client, smtp, receiver)


# --- the run -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """What was handed in and what came of it; ``problems`` says where the sums are not right."""

    accepted: int = 0
    rejected: int = 0
    delivered: int = 0
    refused: int = 0
    held: int = 0
    lost: int = 0
    sent_twice_explained: int = 0
    sent_twice_unexplained: int = 0
    reports_acknowledged: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def rows(self) -> list[tuple[str, str]]:
        """The table: what each figure counts, and the figure."""
        rate = self.accepted / self.seconds if self.seconds else 0.0
        return [
            ("accepted", f"{self.accepted}"),
            ("rejected at the door", f"{self.rejected}"),
            ("delivered", f"{self.delivered}"),
            ("refused by the mail server or a limit", f"{self.refused}"),
            ("held (uncertain, not sent again)", f"{self.held}"),
            ("lost", f"{self.lost}"),
            ("sent twice, explained", f"{self.sent_twice_explained}"),
            ("sent twice, unexplained", f"{self.sent_twice_unexplained}"),
            ("reports acknowledged", f"{self.reports_acknowledged}"),
            ("seconds", f"{self.seconds:.1f} ({rate:.0f} messages a second, waits included)"),
        ]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Demo:
    """Drives a service and judges it by the ledgers of its two neighbours."""

    def __init__(self, places: Neighbourhood) -> None:
        self._client = places.client
        self._smtp = places.smtp
        self._receiver = places.receiver
        self._accepted: set[str] = set()
        self._rejected = 0

    async def run(self, count: int, progress: Callable[[int, int], None]) -> Tally:
        """Send everything, wait until all of it is reported, and count. ``progress(done, total)``."""
        started = time.monotonic()
        for account in accounts(self._smtp.port):
            await self._post("/account", account)
        mails = list(scenario(count))
        async for handed_in in self._hand_in(mails):
            progress(len(self._reported() & self._accepted), handed_in)
        deadline = time.monotonic() + WAIT_SECONDS
        while (done := len(self._reported() & self._accepted)) < len(self._accepted):
            progress(done, len(self._accepted))
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(LOOK_SECONDS)
        progress(done, len(self._accepted))
        tally = await self._count(len(mails))
        tally.seconds = time.monotonic() - started
        return tally

    async def _hand_in(self, mails: Sequence[Payload]) -> AsyncIterator[int]:
        iterator = iter(mails)
        while batch := list(itertools.islice(iterator, BATCH)):
            answer = await self._post("/commands/add-messages", {"messages": batch})
            refused = {entry["id"] for entry in answer["rejected"]}
            self._rejected += len(refused)
            self._accepted |= {mail["id"] for mail in batch} - refused
            yield len(self._accepted)

    async def _post(self, path: str, body: Payload) -> Payload:
        response = await self._client.post(path, json=body)
        response.raise_for_status()
        answer: Payload = response.json()
        return answer

    # --- the verdict, by the ledgers ---

    def _reported(self) -> set[str]:
        return {report["id"] for report in self._receiver.acknowledged}

    async def _count(self, handed_in: int) -> Tally:
        reports = {report["id"]: report for report in self._receiver.acknowledged}
        copies = Counter(
            copy.message_id.strip("<>").partition("@")[0]
            for copy in self._smtp.accepted
            if copy.message_id
        )
        tally = Tally(rejected=self._rejected, accepted=len(self._accepted))
        for name in self._accepted:
            error = (reports.get(name) or {}).get("error") or ""
            if "uncertain" in error:
                tally.held += 1
            elif copies[name]:
                tally.delivered += 1
            elif error:
                tally.refused += 1
            else:
                tally.lost += 1
            if copies[name] > 1 and await self._was_uncertain(name):
                tally.sent_twice_explained += 1
            elif copies[name] > 1:
                tally.sent_twice_unexplained += 1
        tally.reports_acknowledged = len(reports.keys() & self._accepted)
        tally.problems = list(_problems(tally, handed_in, copies.keys() - self._accepted))
        return tally

    async def _was_uncertain(self, id: str) -> bool:
        """Whether the service itself recorded an uncertain attempt of this message."""
        response = await self._client.get(f"/messages/{id}")
        response.raise_for_status()
        return any(attempt["uncertain"] for attempt in response.json()["attempts"])


def _problems(tally: Tally, handed_in: int, strangers: set[str]) -> Iterator[str]:
    """Every sum that is not right."""
    if tally.accepted + tally.rejected != handed_in:
        yield f"{handed_in} messages were handed in, but that many answers did not come"
    if tally.lost:
        yield f"{tally.lost} accepted messages were neither delivered nor reported as failed"
    if tally.reports_acknowledged != tally.accepted:
        yield f"{tally.accepted - tally.reports_acknowledged} results were never reported"
    if tally.held != 1:
        yield f"{tally.held} messages were held, not 1"
    if tally.sent_twice_explained != 1:
        yield f"{tally.sent_twice_explained} messages were sent twice with an explanation, not 1"
    if tally.sent_twice_unexplained:
        yield f"{tally.sent_twice_unexplained} messages were sent twice without an explanation"
    if strangers:
        yield f"{len(strangers)} messages arrived that were never accepted"
