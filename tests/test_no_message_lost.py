"""Whatever a plugin does, every accepted message is pending or was reported as its outcome says.

Each case has a service with one extension that has one fault at one moment; then a second service, on
the same database and with the extension well again, has to bring everything to its end.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import hostile_plugin
import pytest
from hostile_plugin import NAME

from asyncmail.plugins.kinds import Kind
from asyncmail.testing import FaultSMTP, ManualClock, ReportReceiver
from asyncmail.testing.faults import SWALLOWED, Fault, Moment
from asyncmail.testing.running import RunningService, StartService, mail

T = TypeVar("T")

STALLED = 0.15  # real seconds; whatever takes longer waits for a deadline
DEADLINE = 700.0  # seconds of the service, beyond the longest of its deadlines
PATIENCE = 100  # looks at something that will come
WEEKS = 3 * 7 * 86400
LIES = {Fault.CLAIMS_SUCCESS, Fault.ANSWERS_FOR_OTHERS}

# Behind before_dot() there is no answer to give, so that the faults of answers cannot happen there.
AT_DOT = [fault for fault in Fault if fault not in LIES | {Fault.RETURNS_NONE}]
CASES = [
    *((kind, fault, Moment.BEFORE) for kind in Kind for fault in Fault),
    *((Kind.TRANSPORT, fault, Moment.DOT) for fault in AT_DOT),
    *((Kind.TRANSPORT, fault, Moment.AFTER) for fault in Fault),
    *((Kind.SINK, fault, Moment.AFTER) for fault in Fault),
    *((Kind.RETENTION, fault, Moment.AFTER) for fault in Fault),
]

Start = Callable[..., Any]


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``hostile_plugin`` is found as any installed package is."""
    info = tmp_path / "site" / f"{NAME}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[asyncmail.v1]\n{NAME} = hostile_plugin\n")
    monkeypatch.syspath_prepend(info.parent)
    importlib.invalidate_caches()
    hostile_plugin.boxed.clear()
    yield
    sys.path_importer_cache.pop(str(info.parent), None)


class Case:
    """The services of one case, one after the other, between the same two servers."""

    def __init__(
        self,
        folder: Path,
        clock: ManualClock,
        smtp: FaultSMTP,
        receiver: ReportReceiver,
        kind: Kind,
    ) -> None:
        self.clock = clock
        self.smtp = smtp
        self.receiver = receiver
        self.kind = kind
        self.accepted: set[str] = set()
        self._folder = folder

    @asynccontextmanager
    async def service(self, **hostile: Any) -> AsyncIterator[RunningService]:
        """A service whose hostile extension has these settings; its end gets the time it needs."""
        builtin = {
            "validators": ["addresses"],
            "filters": [],
            "attachments": ["base64"],
            "transports": ["smtp"],
            "sinks": ["genropy"],
            "retention": ["days"],
            "observers": [],
        }
        chosen = builtin | {self.kind.setting: [*builtin[self.kind.setting], NAME], NAME: hostile}
        start = StartService(self._folder, self.clock, self.smtp.port, self.receiver.url, chosen)
        ready: asyncio.Future[RunningService] = asyncio.get_running_loop().create_future()
        over = asyncio.Event()

        async def live() -> None:
            async with start() as running:
                ready.set_result(running)
                await over.wait()

        life = asyncio.ensure_future(live())
        await asyncio.wait({life, ready}, return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            life.result()
        try:
            yield ready.result()
        finally:
            over.set()
            await self.patiently(life)

    async def patiently(self, work: Awaitable[T]) -> T:
        """The result; time passes while the work stands still."""
        task = asyncio.ensure_future(work)
        for _ in range(PATIENCE):
            done, _ = await asyncio.wait({task}, timeout=STALLED)
            if done:
                return task.result()
            self.clock.advance(DEADLINE)
        raise AssertionError("it never ends")

    async def hand_in(self, service: RunningService, *mails: dict[str, Any]) -> None:
        """Hand in messages and note which of them were accepted."""
        response = await self.patiently(
            service.client.post("/commands/add-messages", json={"messages": list(mails)})
        )
        if response.status_code == 503:  # nothing of it was kept, and the client knows
            return
        assert response.status_code == 200, response.text
        rejected = {entry["id"] for entry in response.json()["rejected"]}
        self.accepted |= {entry["id"] for entry in mails} - rejected

    def mails(self) -> list[dict[str, Any]]:
        """One for each way that a delivery can go."""
        transport = NAME if self.kind is Kind.TRANSPORT else "smtp"
        more: dict[str, Any] = {"account_id": transport}
        if self.kind is Kind.ATTACHMENT:
            more["attachments"] = [{"filename": "a.txt", "storage_path": "shelf:a"}]
        recipients = {
            "sent": "sent@fault.example",
            "refused": "refused+rcpt.550@fault.example",
            "later": "later+rcpt.451.once@fault.example",
            "lost-reply": "lost+dot.accept.drop.once@fault.example",
        }
        mails = [mail(id, to, **more) for id, to in recipients.items()]
        held = mail("held", on_uncertain="hold", **more)
        soon = int(self.clock.wall()) + 10 * WEEKS
        return [*mails, held, mail("waits", deferred_ts=soon, **more)]

    async def record(self, service: RunningService, id: str) -> dict[str, Any] | None:
        """The message as the service shows it; ``None``: it is gone."""
        response = await service.client.get(f"/messages/{id}")
        if response.status_code == 404:
            return None
        found: dict[str, Any] = response.json()
        return found

    def copies(self, id: str) -> int:
        """How often the server took it; by recipient, for a filter may have put anything in it."""
        [recipient] = [entry["to"] for entry in self.mails() if entry["id"] == id]
        return sum(recipient in copy.recipients for copy in self.smtp.accepted)


@pytest.fixture
def case(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    clock: ManualClock,
    smtp_server: FaultSMTP,
    report_server: ReportReceiver,
) -> Case:
    return Case(tmp_path, clock, smtp_server, report_server, request.node.callspec.params["kind"])


@asynccontextmanager
async def stubborn_tasks_ended() -> AsyncIterator[None]:
    """What ignores its cancellation is cancelled until it gives in, or the loop could never close."""
    before = asyncio.all_tasks()
    try:
        yield
    finally:
        for _ in range(SWALLOWED + 1):
            for task in asyncio.all_tasks() - before:
                task.cancel()
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("kind", "fault", "at"), CASES, ids=[f"{kind}-{fault}-{at}" for kind, fault, at in CASES]
)
async def test_no_message_is_lost(case: Case, kind: Kind, fault: Fault, at: Moment) -> None:
    async with stubborn_tasks_ended():
        await _with_the_fault(case, fault, at)
        async with case.service() as service:
            await _nothing_is_lost(case, service)
            if not case.accepted:
                await case.hand_in(service, *case.mails())
            await _brought_to_its_end(case, service)
            lied = fault in LIES  # then nobody but the peer could know better
            await _told_as_it_was(case, service, lied=lied and kind is Kind.TRANSPORT)
        if kind is Kind.SINK and fault is not Fault.CLAIMS_SUCCESS:
            assert case.accepted <= set(hostile_plugin.boxed), "acknowledged, and yet not delivered"


async def _with_the_fault(case: Case, fault: Fault, at: Moment) -> None:
    """Messages come in and are attempted once; what is done is reported, and what is old goes."""
    async with case.service(fault=fault, at=at) as service:
        await service.account("smtp")
        if case.kind is Kind.TRANSPORT:
            await service.account(NAME, transport=NAME)
        await case.hand_in(service, *case.mails())
        await case.patiently(service.dispatch())
        await service.run_now()
        await case.patiently(_reported_by_now(case, service))
        if case.kind is Kind.RETENTION:
            case.clock.advance(WEEKS)
            await case.patiently(service.service.scheduler.cleanup())


async def _reported_by_now(case: Case, service: RunningService) -> None:
    """The application learns of every result, whatever another sink does."""
    records = {id: await case.record(service, id) for id in case.accepted}
    finished = {id for id, record in records.items() if record and record["status"] in FINAL}
    await case.receiver.wait_for(lambda: finished <= case.receiver.by_id.keys(), timeout=10)


FINAL = ("sent", "error")


async def _nothing_is_lost(case: Case, service: RunningService) -> None:
    """Every accepted message is there; only one that was reported may have been deleted."""
    assert "waits" not in case.accepted or await case.record(service, "waits") is not None
    for id in case.accepted:
        assert await case.record(service, id) is not None or id in case.receiver.by_id, id
    for id in {"sent", "held", "waits"} - case.accepted:
        assert not case.copies(id), f"{id} was not accepted, and yet sent"


async def _brought_to_its_end(case: Case, service: RunningService) -> None:
    """Time passes until all is sent or failed, and until every sink has the results."""
    case.clock.advance(10 * WEEKS)
    for _ in range(10):
        await case.patiently(service.dispatch())
        records = [await case.record(service, id) for id in case.accepted]
        if all(record is None or record["status"] in FINAL for record in records):
            break
        case.clock.advance(400)
    await service.run_now()
    for _ in range(PATIENCE):
        records = [await case.record(service, id) for id in case.accepted]
        if all(record is None or record["reported_ts"] for record in records):
            return
        await asyncio.sleep(0.05)
        case.clock.advance(400)
        await service.run_now()


async def _told_as_it_was(case: Case, service: RunningService, *, lied: bool) -> None:
    """Record, report and what the SMTP server has say the same of each message."""
    assert case.accepted == {entry["id"] for entry in case.mails()} or case.kind is Kind.VALIDATOR
    for id in case.accepted:
        record, report = await case.record(service, id), case.receiver.by_id[id][-1]
        status = "sent" if report["sent_ts"] else "error" if report["error_ts"] else "none"
        copies = case.copies(id)
        assert status in FINAL, id
        assert record is None or (record["status"] == status and record["reported_ts"]), id
        if lied:
            continue
        uncertain = record is None or any(attempt["uncertain"] for attempt in record["attempts"])
        assert copies or status == "error", f"{id} is said to be sent, and nobody has it"
        assert copies <= 1 or uncertain, f"{id} was sent twice, and nothing says why"
        assert not copies or status == "sent" or uncertain, f"{id} failed, and yet it was sent"
