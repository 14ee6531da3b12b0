"""Sequence numbers go on after a restart and after a crash; what is not a journal is left alone."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asyncmail_journal import rotated
from journal_reading import event, files, ids, lines, numbers, put, whole

from asyncmail.errors import ConfigurationError

Start = Callable[..., Any]


async def write(started: Start, *which: int, **settings: Any) -> None:
    """One run of a service."""
    observer = await started(**settings)
    for n in which:
        await observer.notice(event(n))
    await observer.stop()


async def test_numbers_go_on_where_they_ended(path: Path, started: Start) -> None:
    await write(started, 1, 2)
    await write(started)
    await write(started, 3)
    assert numbers(path) == [1, 2, 3]
    assert ids(path) == ["m1", "m2", "m3"]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("left", ["gone", "empty"])
async def test_numbers_go_on_from_the_rotated_files(
    path: Path, started: Start, compress: bool, left: str
) -> None:
    await write(started, *range(40), max_bytes=1024, compress=compress)
    last = numbers(path)[-1]
    os.rename(path, rotated.name_for(path, 1000, last))  # a crash in the middle of rotating
    if left == "empty":
        put(path, b"")
    await write(started, 99)
    assert numbers(path)[-1] == last + 1


@pytest.mark.parametrize(
    "torn",
    [
        b'{"seq":4,"kind":"sent","ts":17500',
        b'{"seq":4',
        b"{",
        b"\0" * 4096,
        b'{"seq":4,"ki\0\0\0\0\0\0\n\0\0\n',
        b"\n",
        b"x" * 3_000_000,
    ],
    ids=lambda torn: repr(torn[:12]),
)
async def test_a_torn_end_is_cut_off_and_told(
    path: Path, started: Start, caplog: pytest.LogCaptureFixture, torn: bytes
) -> None:
    await write(started, 1, 2, 3)
    with path.open("ab") as file:
        file.write(torn)
    with caplog.at_level(logging.WARNING):
        await write(started, 4)
    assert numbers(path) == [1, 2, 3, 4, 5]
    assert ids(path) == ["m1", "m2", "m3", None, "m4"]
    repaired = lines(path)[3]
    assert (repaired["kind"], repaired["bytes"]) == ("journal_repaired", len(torn))
    assert f"cut off a torn end, {len(torn)} bytes" in caplog.text
    await write(started, 5)
    assert numbers(path) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("torn", [b'{"seq":1,"kind"', b'{"s', b"\0" * 100])
async def test_a_torn_first_line_is_cut_off(path: Path, started: Start, torn: bytes) -> None:
    put(path, torn)
    await write(started, 1)
    assert [line["kind"] for line in lines(path)] == ["journal_repaired", "sent"]
    assert numbers(path) == [1, 2]


@pytest.mark.parametrize(
    "foreign", [b"root:x:0:0\n", b'{"a":1}\n{"seq":1,"ts":1}\n', b"text", b"\0\0\0\0\0\0\0\0x"]
)
async def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(
    path: Path, started: Start, foreign: bytes
) -> None:
    put(path, foreign)
    with pytest.raises(ConfigurationError, match="is not a journal"):
        await started()
    assert whole(path) == foreign


async def test_a_second_service_on_the_same_journal_is_refused(path: Path, started: Start) -> None:
    first = await started()
    with pytest.raises(ConfigurationError, match="in use by another process"):
        await started()
    await first.notice(event(1))
    await first.stop()
    await write(started, 2)
    assert numbers(path) == [1, 2]


async def test_a_folder_that_cannot_be_made_stops_the_start(path: Path, started: Start) -> None:
    path.parent.write_text("a file where a folder should be")
    with pytest.raises(OSError, match="exists"):
        await started()


KILLED = """
import asyncio, os, sys
from asyncmail import Observer
from asyncmail.model import Event, EventKind
from asyncmail.testing import make_extension

async def main():
    observer = make_extension(Observer, "journal", {"path": sys.argv[1], "max_bytes": 20_000})
    await observer.start()
    for n in range(1_000_000):
        await observer.notice(Event(EventKind.SENT, 1.0, id=f"m{n}"))
        if n == 2000:
            print("going", flush=True)
        if n % 100 == 0:
            await asyncio.sleep(0.001)

asyncio.run(main())
"""


def test_a_killed_service_leaves_no_gap_and_no_repeat(path: Path) -> None:
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.readline() == b"going\n"
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    *found, last = b"".join(map(whole, files(path))).splitlines()
    seqs = [json.loads(line)["seq"] for line in found]  # the last one may be torn
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert len(seqs) > 1000
    assert last
