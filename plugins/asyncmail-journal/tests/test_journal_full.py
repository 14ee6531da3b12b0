"""A disk that is full, broken or slow costs events, never the service; what is missing is said."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asyncmail_journal import JournalSettings
from asyncmail_journal.journal import Journal
from asyncmail_journal.writer import Writer
from journal_reading import event, ids, lines, numbers

from asyncmail.testing import ManualClock

Start = Callable[..., Any]
LOG = logging.getLogger("asyncmail.plugin.journal")

FULL = """
import asyncio, json, logging, resource, sys, threading, time
from asyncmail import Observer
from asyncmail.model import Event, EventKind
from asyncmail.testing import make_extension

told = threading.Event()
records = []

class Ear(logging.Handler):
    def emit(self, record):
        records.append(record.getMessage())
        told.set()

logging.getLogger("asyncmail").addHandler(Ear())

def limit(size):
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

async def main():
    observer = make_extension(Observer, "journal", {"path": sys.argv[1]})
    await observer.start()
    limit(5_000)
    longest = 0.0
    for n in range(500):
        before = time.monotonic()
        await observer.notice(Event(EventKind.SENT, 1.0, id=f"m{n}"))
        longest = max(longest, time.monotonic() - before)
    assert await asyncio.to_thread(told.wait, 20)
    with open(sys.argv[1], "rb") as file:
        assert file.read()[-1:] in (b"\\n", b""), "only whole lines"
    limit(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    await observer.notice(Event(EventKind.SENT, 1.0, id="after"))
    await observer.stop()
    print(json.dumps({"records": records, "longest": longest}))

asyncio.run(main())
"""


def test_on_a_full_disk_events_are_counted_and_the_gap_is_told_when_it_goes_on(path: Path) -> None:
    path.parent.mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    written = lines(path)
    assert [line["seq"] for line in written] == list(range(1, len(written) + 1))
    gaps = [line for line in written if line["kind"] == "journal_lost"]
    events = [line for line in written if line["kind"] == "sent"]
    assert gaps
    assert len(events) + sum(gap["lost"] for gap in gaps) == 501
    assert events[-1]["id"] == "after"
    assert written.index(gaps[0]) > 10, "what fits is written"
    assert "File too large" in said["records"][0]
    assert len(said["records"]) < 5, "one complaint, not one for each event"
    assert said["longest"] < 0.5


@pytest.fixture
def journal(path: Path, clock: ManualClock) -> Journal:
    made = Journal(JournalSettings(path=path), clock, LOG, lambda: None)
    made.open()
    return made


def failing(monkeypatch: pytest.MonkeyPatch, name: str, after: int) -> Callable[[], None]:
    """``os.write`` and the like work so many times, then no more; returns what heals them."""
    function, calls = getattr(os, name), 0

    def call(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(28, "No space left on device")
        return function(*args)

    monkeypatch.setattr(os, name, call)
    return lambda: monkeypatch.setattr(os, name, function)


def test_the_count_goes_on_over_several_failures(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal.write([event(1)])
    heal = failing(monkeypatch, "write", after=0)
    for n in range(10):
        journal.write([event(n), event(n)])
    heal()
    with caplog.at_level(logging.WARNING):
        journal.write([event(2)])
    journal.close()
    assert ids(path) == ["m1", None, "m2"]
    assert numbers(path) == [1, 2, 3]
    assert lines(path)[1]["lost"] == 20
    assert "can be written again" in caplog.text


def test_a_line_that_was_half_written_is_not_left_behind(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def half(descriptor: int, data: Any) -> int:
        if len(data) < 150:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[: len(data) - 100])

    monkeypatch.setattr(os, "write", half)
    journal.write([event(n) for n in range(5)])
    monkeypatch.setattr(os, "write", write)
    journal.write([event(9)])
    journal.close()
    assert numbers(path) == list(range(1, len(lines(path)) + 1))
    assert ids(path)[0] == "m0"
    [gap] = [line for line in lines(path) if line["kind"] == "journal_lost"]
    assert gap["lost"] + sum(line["kind"] == "sent" for line in lines(path)) == 6


def test_lines_that_may_not_be_durable_count_as_lost(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(JournalSettings(path=path, fsync=True), clock, LOG, lambda: None)
    journal.open()
    heal = failing(monkeypatch, "fsync", after=0)
    journal.write([event(1), event(2)])
    heal()
    journal.write([event(3)])
    journal.close()
    assert ids(path) == [None, "m3"]
    assert lines(path)[0]["lost"] == 2


def test_what_was_lost_at_the_end_is_told_when_the_journal_is_closed(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    heal = failing(monkeypatch, "write", after=0)
    journal.write([event(1)])
    heal()
    journal.close()
    assert [line["kind"] for line in lines(path)] == ["journal_lost"]


async def test_a_full_disk_does_not_keep_the_service_from_starting(
    path: Path, started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.mkdir()
    heal = failing(monkeypatch, "open", after=0)
    observer = await started()
    heal()
    await observer.notice(event(1))
    await observer.stop()
    assert ids(path) == ["m1"]


def test_a_file_that_cannot_be_rotated_grows_on(
    path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    settings = JournalSettings(path=path, max_bytes=1024)
    journal = Journal(settings, clock, LOG, lambda: None)
    journal.open()
    for n in range(9):
        journal.write([event(n)])
    folder = path.with_name("events.jsonl.000000000001-000000000009")
    for last in range(9, 40):  # a folder where a file should be
        folder.with_name(f"events.jsonl.000000000001-{last:012}").mkdir()
    for n in range(9, 30):
        journal.write([event(n)])
    journal.close()
    assert path.read_bytes().count(b"\n") == 30
    assert caplog.text.count("cannot be rotated") == 1


def test_a_buffer_that_is_full_drops_and_counts_the_latest(path: Path, journal: Journal) -> None:
    writer = Writer(journal, LOG, capacity=3)
    for n in range(10):
        writer.put(event(n))
    writer.close()
    writer.run()  # in this thread: the disk was slow until now
    assert ids(path) == ["m0", "m1", "m2", None]
    assert lines(path)[3]["lost"] == 7
