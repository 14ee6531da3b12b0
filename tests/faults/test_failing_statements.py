"""Each SQL statement of a short run fails once, as on a full, locked or broken disk: nothing comes of it.

SQLite's own method (https://sqlite.org/testing.html#i_o_error_testing): the first statement fails, then
in another run the second, and so on, until a run has fewer statements than that.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from asyncmail.errors import AsyncmailError
from asyncmail.scheduler import loop, report, results
from asyncmail.store import connection, writer
from asyncmail.testing import FaultSMTP, ManualClock, ReportReceiver
from asyncmail.testing.running import RunningService, StartService, mail

MAILS = {
    "m1": mail("m1"),
    "m2": mail("m2", ["m2@fault.test", "m2.b+rcpt.550@fault.test"]),
    "m3": mail("m3", "m3+rcpt.451~1@fault.test"),
}
PATIENCE = 60.0  # seconds until everything is settled; most need less than one
LEAST = 60  # statements that a run has at the least, or the sweep sweeps nothing

PAUSES = (
    (loop, "STORE_RETRY_SECONDS"),
    (report, "FAILURE_PAUSE"),
    (results, "RETRY_SECONDS"),
    (writer, "RETRY_SECONDS"),
)
BREAKS_OFF = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}  # these SQLite answers with a rollback


class Trip:
    """Makes the statement with one number fail with one code."""

    def __init__(self, number: int, code: int) -> None:
        self.seen = 0
        self._number = number
        self._code = code

    @property
    def happened(self) -> bool:
        return self.seen >= self._number

    def step(self, raw: sqlite3.Connection) -> None:
        self.seen += 1
        if self.seen != self._number:
            return
        if raw.in_transaction and self._code in BREAKS_OFF:
            sqlite3.Connection.execute(raw, "ROLLBACK")
        error = sqlite3.OperationalError("failed on purpose")
        error.sqlite_errorcode = self._code
        raise error


def tripping(trip: Trip) -> type[sqlite3.Connection]:
    """The class of connections whose statements count."""

    class Tripping(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
            trip.step(self)
            return super().execute(sql, parameters)

        def executemany(self, sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
            trip.step(self)
            return super().executemany(sql, parameters)

    return Tripping


async def persistent(
    service: RunningService, path: str, body: Any, done: Callable[[Any], bool] = bool
) -> None:
    """A client that tries again after a 503."""
    for _ in range(3):
        response = await service.client.post(path, json=body)
        if response.status_code == 200 and done(response.json()):
            return
        assert response.status_code == 503, response.text
    raise AssertionError(f"{path} is refused again and again")


def all_taken(answer: Any) -> bool:
    duplicates = [r["reason"].startswith("duplicate id: already") for r in answer["rejected"]]
    return all(duplicates) and answer["queued"] + len(duplicates) == len(MAILS)


async def work(service: RunningService, clock: ManualClock, receiver: ReportReceiver) -> None:
    """Hand in, and do all that is due until everything is reported."""
    account = {"id": "shop", "host": "127.0.0.1", "port": service.smtp_port, "tls": "none"}
    await persistent(service, "/account", account)
    await persistent(
        service, "/commands/add-messages", {"messages": list(MAILS.values())}, all_taken
    )
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            await service.dispatch()
        except AsyncmailError:
            continue  # the loop of the service would log it and go on
        service.service.scheduler.run_now()
        await asyncio.sleep(0.01)
        if {entry["id"] for entry in receiver.acknowledged} == MAILS.keys():
            return
        clock.advance(61)


async def run(folder: Path, trip: Trip) -> tuple[FaultSMTP, ReportReceiver]:
    """A service from its first start to its end; it is started again where it would not start."""
    clock = ManualClock()
    async with FaultSMTP() as smtp, ReportReceiver() as receiver:
        start = StartService(folder, clock, smtp.port, receiver.url)
        for _ in range(2):
            try:
                async with start() as service:
                    await work(service, clock, receiver)
                break
            except AsyncmailError:
                assert trip.happened
        smtp.assert_clean()
    return smtp, receiver


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses after a failure are short: there are hundreds of them."""
    for module, name in PAUSES:
        monkeypatch.setattr(module, name, 0.01)


@pytest.mark.usefixtures("hurried")
@pytest.mark.fault("disk.failing_statement")
@pytest.mark.parametrize("code", ["SQLITE_FULL", "SQLITE_BUSY", "SQLITE_IOERR"])
async def test_whichever_statement_fails_everything_is_delivered_once_and_reported(
    tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch, publish: Callable[..., None]
) -> None:
    number = 0
    while True:
        number += 1
        trip = Trip(number, getattr(sqlite3, code))
        monkeypatch.setitem(connection._OPTIONS, "factory", tripping(trip))
        folder = tmp_path / str(number)
        folder.mkdir()
        smtp, receiver = await run(folder, trip)
        copies = sorted(recipient for copy in smtp.accepted for recipient in copy.recipients)
        assert copies == ["m1@customer.example", "m2@fault.test", "m3+rcpt.451~1@fault.test"], (
            number
        )
        told = {entry["id"]: entry for entry in receiver.acknowledged}
        assert {id for id, entry in told.items() if entry["sent_ts"]} == {"m1", "m3"}, number
        assert told["m2"]["error"].startswith("partial: delivered to 1 of 2"), number
        with closing(sqlite3.connect(folder / "mail.db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",), number
        if not trip.happened:
            break
    assert number > LEAST
    publish("Each SQL statement of a run fails once", statements=number - 1)
