"""Files rotate by size and age, are kept by number, and are for their owner alone."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asyncmail_journal import rotated
from journal_reading import event, files, ids, inode, lines, mode, numbers

from asyncmail.testing import ManualClock

Start = Callable[..., Any]


async def eventually(is_so: Callable[[], bool]) -> None:
    """Wait for what a thread does, and nobody tells of."""
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - a thread does it, and the disk tells nobody
            await asyncio.sleep(0.01)


def text_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


def last_id(path: Path) -> str | None:
    """Of the event written last; ``None`` while the file is just being rotated or written."""
    try:
        id: str = json.loads(text_of(path)[-1])["id"]
    except (FileNotFoundError, IndexError, ValueError):
        return None
    return id


def on_the_way(path: Path) -> list[Path]:
    return list(path.parent.glob("*.part"))


async def test_files_rotate_before_they_grow_too_large(path: Path, started: Start) -> None:
    observer = await started(max_bytes=1024, keep=1000)
    for n in range(200):
        await observer.notice(event(n))
    await observer.stop()
    assert ids(path) == [f"m{n}" for n in range(200)]
    assert numbers(path) == list(range(1, 201))
    sizes = [one.stat().st_size for one in files(path)]
    assert len(sizes) > 10
    assert max(sizes) <= 1024
    assert min(sizes[:-1]) > 800
    for one in rotated.listed(path):
        seqs = [json.loads(line)["seq"] for line in text_of(one.path)]
        assert (one.first, one.last) == (seqs[0], seqs[-1])


async def test_files_rotate_when_they_are_old_also_across_a_restart(
    path: Path, started: Start, clock: ManualClock
) -> None:
    observer = await started(max_age_seconds=100)
    await observer.notice(event(1, clock.wall()))
    await observer.stop()
    clock.advance(99)
    observer = await started(max_age_seconds=100)
    await observer.notice(event(2, clock.wall()))
    await observer.stop()
    assert len(files(path)) == 1
    clock.advance(1)
    observer = await started(max_age_seconds=100)
    await observer.notice(event(3, clock.wall()))
    await observer.stop()
    assert [one.name for one in files(path)] == [
        "events.jsonl.000000000001-000000000002",
        "events.jsonl",
    ]
    clock.advance(1e9)
    observer = await started(max_age_seconds=0)
    await observer.notice(event(4, clock.wall()))
    await observer.stop()
    assert len(files(path)) == 2
    assert numbers(path) == [1, 2, 3, 4]


async def test_only_the_newest_rotated_files_are_kept(path: Path, started: Start) -> None:
    stranger = path.parent / "events.jsonl.bak"
    path.parent.mkdir()
    stranger.write_text("not one of ours")
    observer = await started(max_bytes=1024, keep=3)
    for n in range(200):
        await observer.notice(event(n))
    await eventually(lambda: len(rotated.listed(path)) == 3 and last_id(path) == "m199")
    await observer.stop()
    assert stranger.exists()
    stranger.unlink()
    seqs = numbers(path)
    assert seqs == list(range(seqs[0], 201))


@pytest.mark.parametrize("compress", [False, True])
async def test_all_files_are_for_their_owner_alone(
    path: Path, started: Start, compress: bool
) -> None:
    before = os.umask(0)
    try:
        observer = await started(max_bytes=1024, compress=compress)
        for n in range(50):
            await observer.notice(event(n))
        await eventually(lambda: len(rotated.listed(path)) > 2)
        await observer.stop()
    finally:
        os.umask(before)
    for one in (*files(path), path.parent):
        assert mode(one) & 0o077 == 0, one


async def test_an_existing_file_is_closed_to_others(path: Path, started: Start) -> None:
    await (await started()).stop()
    os.chmod(path, 0o644)
    await started()
    assert mode(path) == 0o600


async def test_rotated_files_are_compressed_as_a_whole(path: Path, started: Start) -> None:
    observer = await started(max_bytes=1024, compress=True, keep=1000)
    for n in range(100):
        await observer.notice(event(n))
    await eventually(lambda: last_id(path) == "m99")
    await eventually(lambda: all(one.is_compressed for one in rotated.listed(path)))
    await observer.stop()
    assert ids(path) == [f"m{n}" for n in range(100)]
    assert numbers(path) == list(range(1, 101))
    assert on_the_way(path) == []
    assert {one.suffix for one in files(path)} == {".gz", ".jsonl"}


async def test_compressing_that_was_interrupted_is_done_at_the_next_start(
    path: Path, started: Start
) -> None:
    observer = await started(max_bytes=1024)
    for n in range(40):
        await observer.notice(event(n))
    await observer.stop()
    first, second, *_ = (one.path for one in rotated.listed(path))
    first.with_name(first.name + ".gz.part").write_bytes(b"half of it")
    second.with_name(second.name + ".gz").write_bytes(gzip.compress(second.read_bytes()))
    observer = await started(compress=True)
    await eventually(lambda: all(one.is_compressed for one in rotated.listed(path)))
    await observer.stop()
    assert on_the_way(path) == []
    assert numbers(path) == list(range(1, 41))


def test_compressing_ends_at_once_when_it_is_told_to(path: Path) -> None:
    path.parent.mkdir()
    aside = rotated.name_for(path, 1, 9)
    aside.write_bytes(os.urandom(rotated.CHUNK * 4))
    looks: list[bool] = []

    def is_over() -> bool:
        looks.append(len(looks) == 2)
        return looks[-1]

    rotated.tidy(path, keep=9, compress=True, is_over=is_over)
    assert looks == [False, False, True]
    assert [one.path for one in rotated.listed(path)] == [aside]
    assert on_the_way(path) == []


async def test_nothing_is_written_or_compressed_in_the_event_loop(
    path: Path, started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: set[str] = set()

    def noted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            where.add(threading.current_thread().name)
            return function(*args)

        return call

    for name in ("open", "write", "fsync"):
        monkeypatch.setattr(os, name, noted(getattr(os, name)))
    observer = await started(max_bytes=1024, compress=True, fsync=True)
    for n in range(50):
        await observer.notice(event(n))
    await observer.stop()
    assert "asyncmail-journal" in where
    assert "MainThread" not in where


async def test_with_fsync_every_write_and_every_name_is_synced(
    path: Path, started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    observer = await started(fsync=True)
    await observer.notice(event(1))
    await observer.stop()
    assert synced == [inode(path.parent), inode(path)]
    synced.clear()
    observer = await started()
    await observer.notice(event(2))
    await observer.stop()
    assert synced == []
    assert len(lines(path)) == 2
