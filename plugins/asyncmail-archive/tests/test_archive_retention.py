"""What is kept, what is archived and how, and that nothing is released before it is durable."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from archive_places import SECRET, S3Bucket, files, lines
from asyncmail_archive import ArchiveSettings, storage
from pydantic import ValidationError

from asyncmail import AsyncmailError, Offer
from asyncmail.model import RetiredMessage
from asyncmail.testing import ManualClock, samples

Make = Callable[..., Any]
DAY = 86400
NOW = samples.NOW


def record(
    id: str = "m1", *, age: float = DAY, tags: tuple[str, ...] = (), **more: Any
) -> RetiredMessage:
    """A message whose result was reported ``age`` seconds ago."""
    payload = {"id": id, "subject": "Grüße", "tags": list(tags)}
    return samples.retired(id, reported_ts=int(NOW - age), payload=payload, **more)


# --- what is kept -------------------------------------------------------------------------------


async def test_an_account_has_a_time_of_its_own(archive: Make) -> None:
    policy = await archive(seconds=100, accounts={"shop": 10, "law": 1000})
    ages = [NOW - policy.cutoff(NOW, account) for account in ("shop", "law", "other")]
    assert ages == [10, 1000, 100]


async def test_a_held_account_is_never_released(archive: Make, tmp_path: Path) -> None:
    policy = await archive(hold_accounts=["law"])
    assert policy.cutoff(NOW, "law") == float("-inf")
    assert await policy.release([record(account_id="law")]) == ()
    assert files(tmp_path / "archive") == {}


async def test_the_longest_of_a_messages_tags_decides(archive: Make, clock: ManualClock) -> None:
    policy = await archive(seconds=0, tags={"short": 100, "long": 1000})
    both = record(age=500, tags=("short", "long", "unknown"))
    assert await policy.release([both, record("other", age=500, tags=("short",))]) == ("other",)
    clock.advance(600)
    assert await policy.release([both]) == ("m1",)


async def test_a_held_tag_is_never_released(archive: Make) -> None:
    policy = await archive(hold_tags=["lawsuit"])
    old = record(age=DAY * 10_000, tags=("lawsuit",))
    assert await policy.release([old, record("free")]) == ("free",)


async def test_without_a_report_the_time_of_the_result_counts(archive: Make) -> None:
    policy = await archive(tags={"invoice": 1000})
    payload = {"tags": ["invoice"]}
    young, old = (
        samples.retired(id, reported_ts=None, sent_ts=int(NOW) - age, payload=payload)
        for id, age in (("young", 900), ("old", 1100))
    )
    unknown = samples.retired("unknown", reported_ts=None, sent_ts=None, payload=payload)
    assert await policy.release([young, old, unknown]) == ("old",)


# --- what is written ----------------------------------------------------------------------------


async def test_everything_known_of_a_message_is_in_its_line(archive: Make, tmp_path: Path) -> None:
    policy = await archive()
    await policy.release([record("m1", tags=("a",)), record("m2", error="550 нет", error_ts=5)])
    [written] = [
        lines(data) for name, data in files(tmp_path / "archive").items() if "1970" in name
    ]
    assert written == [
        {
            "tenant_id": "default",
            "id": "m2",
            "account_id": "shop",
            "sent_ts": int(NOW) - 900_000,
            "error_ts": 5,
            "error": "550 нет",
            "reported_ts": int(NOW) - DAY,
            "message": {"id": "m2", "subject": "Grüße", "tags": []},
        }
    ]


async def test_objects_are_named_by_the_day_of_the_result(archive: Make, tmp_path: Path) -> None:
    policy = await archive()
    first = 1_700_000_000  # 2023-11-14, 22:13:20 UTC
    at = {"a": first, "b": first + 3600, "c": first + 7200}
    released = await policy.release([record(id, sent_ts=sent) for id, sent in at.items()])
    assert sorted(released) == ["a", "b", "c"]
    found = {
        name.rpartition("/")[0]: lines(data) for name, data in files(tmp_path / "archive").items()
    }
    assert {day: [line["id"] for line in content] for day, content in found.items()} == {
        "2023/11/14": ["a", "b"],
        "2023/11/15": ["c"],
    }


async def test_a_repeat_on_another_day_overwrites_what_there_is(
    archive: Make, tmp_path: Path, clock: ManualClock
) -> None:
    policy = await archive()
    records = [record("a"), record("b", tags=("x",))]
    await policy.release(records)
    before = files(tmp_path / "archive")
    clock.advance(3 * DAY)
    assert sorted(await policy.release(records[::-1])) == ["a", "b"]
    assert files(tmp_path / "archive") == before
    assert len(before) == 1


async def test_other_content_is_another_object(archive: Make, tmp_path: Path) -> None:
    policy = await archive()
    await policy.release([record("a")])
    await policy.release([record("a", error="x")])
    assert len(files(tmp_path / "archive")) == 2


async def test_the_archive_is_for_its_owner_alone(archive: Make, tmp_path: Path) -> None:
    policy = await archive()
    await policy.release([record()])
    root = tmp_path / "archive"
    assert root.stat().st_mode & 0o077 == 0
    assert [path.stat().st_mode & 0o077 for path in root.rglob("*.gz")] == [0]


# --- durable first ------------------------------------------------------------------------------


async def test_a_file_and_every_folder_above_it_are_synced_before_release(
    archive: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = await archive()
    synced: list[int] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(storage.os, "fsync", noted)
    assert await policy.release([record()]) == ("m1",)
    [file] = (tmp_path / "archive").rglob("*.gz")
    steps = [file, *file.parents[:4]]
    assert steps[-1] == tmp_path / "archive"
    assert synced == [step.stat().st_ino for step in steps]


async def test_what_cannot_be_synced_is_kept(
    archive: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = await archive()

    def fail(descriptor: int) -> None:
        raise OSError("input/output error")

    monkeypatch.setattr(storage.os, "fsync", fail)
    with pytest.raises(AsyncmailError, match=r"1 of 1 messages were not archived.*input/output"):
        await policy.release([record()])


async def test_a_folder_that_is_not_mounted_is_not_made_anew(archive: Make, tmp_path: Path) -> None:
    policy = await archive()
    shutil.rmtree(tmp_path / "archive")
    with pytest.raises(AsyncmailError):
        await policy.release([record()])
    assert not (tmp_path / "archive").exists()


async def test_what_was_archived_before_a_failure_is_released(
    archive: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    policy = await archive()
    (tmp_path / "archive" / "2024").write_text("a file where a folder should be")
    day = {"before": 1_700_000_000, "broken": 1_710_000_000, "behind": 1_740_000_000}
    with caplog.at_level(logging.WARNING):
        released = await policy.release([record(id, sent_ts=sent) for id, sent in day.items()])
    assert released == ("before",)
    assert "2 of 3 messages were not archived" in caplog.text


async def test_an_archive_in_a_bucket_is_what_an_s3_client_reads(
    archive: Make, bucket: S3Bucket
) -> None:
    policy = await archive(**bucket.settings)
    assert sorted(await policy.release([record("a"), record("b")])) == ["a", "b"]
    assert sorted(await policy.release([record("a"), record("b")])) == ["a", "b"]
    [(key, data)] = bucket.objects().items()
    assert key.startswith("mail/2025/")
    assert [line["id"] for line in lines(data)] == ["a", "b"]


async def test_a_bucket_that_is_gone_keeps_everything(archive: Make, bucket: S3Bucket) -> None:
    policy = await archive(**bucket.settings)
    bucket.vanish()
    with pytest.raises(AsyncmailError, match="not archived") as caught:
        await policy.release([record()])
    assert SECRET not in str(caught.value)


async def test_a_service_that_does_not_answer_keeps_everything(archive: Make) -> None:
    silent = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        keys = {"access_key_id": "key", "secret_access_key": SECRET, "region": "us-east-1"}
        policy = await archive(
            to="s3://archive/mail",
            endpoint=f"http://127.0.0.1:{port}",
            allow_http=True,
            timeout_seconds=0.2,
            **keys,
        )
        with pytest.raises(AsyncmailError, match="1 of 1 messages"):
            await policy.release([record()])
        silent.set()


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "to"),
        ({"to": "archive"}, "absolute"),
        ({"to": "/srv/../etc"}, "plain path"),
        ({"to": "s3:///prefix"}, "bucket"),
        ({"to": "s3://bucket/a/../b"}, "plain path"),
        ({"to": "/a", "seconds": -1}, "greater"),
        ({"to": "/a", "tags": {"x": float("inf")}}, "finite"),
        ({"to": "s3://bucket", "access_key_id": "k"}, "belong together"),
        ({"to": "s3://bucket", "session_token": "t"}, "belongs to"),
        ({"to": "s3://bucket", "endpoint": "http://x"}, "allow_http"),
        ({"to": "s3://bucket", "endpoint": "x:1"}, "https"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        ArchiveSettings(**settings)


def test_the_secret_is_not_shown() -> None:
    settings = ArchiveSettings(to="s3://bucket", access_key_id="k", secret_access_key=SECRET)
    assert SECRET not in repr(settings)


def test_the_package_announces_the_policy() -> None:
    [entry] = entry_points(group="asyncmail.v1", name="archive")
    [offer] = entry.load().asyncmail_retention()
    assert isinstance(offer, Offer)
    assert offer.name == "archive"
