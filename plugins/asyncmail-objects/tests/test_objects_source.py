"""What an object comes with, how large it may be, and which failures are for good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from asyncmail_objects import ObjectsSettings
from objects_bucket import SECRET, ObjectBucket
from pydantic import ValidationError

from asyncmail import AttachmentError, AttachmentSource, Offer
from asyncmail.testing import FaultSMTP
from asyncmail.testing.running import RunningService, mail
from asyncmail.testing.samples import message, reference

Make = Callable[..., Any]
MIB = 1 << 20


async def refused(source: AttachmentSource, path: str) -> AttachmentError:
    with pytest.raises(AttachmentError) as caught:
        await source.fetch(reference(path), message())
    return caught.value


class Answering:
    """An S3 service with one answer for everything; ``status`` 0: none, it keeps silent."""

    def __init__(self) -> None:
        self.status = 200
        self.length = 0
        self.body = b""
        self.sent = 0
        self.port = 0
        self.over = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if self.status:
            head = f"HTTP/1.1 {self.status} Said So\r\nContent-Length: {self.length}\r\n"
            head += 'Last-Modified: Wed, 12 Oct 2022 17:50:00 GMT\r\nETag: "1"\r\n'
            writer.write(f"{head}Connection: close\r\n\r\n".encode() + self.body)
        else:
            await self.over.wait()
        writer.close()

    @property
    def settings(self) -> dict[str, Any]:
        keys = {"access_key_id": "key", "secret_access_key": SECRET, "region": "us-east-1"}
        endpoint = f"http://127.0.0.1:{self.port}"
        return {"allow": ["s3://bucket"], "endpoint": endpoint, "allow_http": True, **keys}


@pytest.fixture
async def answering() -> AsyncIterator[Answering]:
    made = Answering()
    async with await asyncio.start_server(made, "127.0.0.1", 0) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made
        made.over.set()


@pytest.mark.parametrize(
    ("stored", "given"),
    [
        ("application/pdf", "application/pdf"),
        ("Text/Plain; charset=utf-8", "text/plain"),
        ("binary/octet-stream", None),
        ("application/octet-stream", None),
        ("message/rfc822", None),
        ("not a type", None),
    ],
)
async def test_the_type_of_an_object_is_told_where_it_says_something(
    source: Make, bucket: ObjectBucket, stored: str, given: str | None
) -> None:
    path = bucket.put("invoices/x", b"content", ContentType=stored)
    attachment = await (await source(**bucket.settings)).fetch(reference(path), message())
    assert (attachment.content, attachment.mime_type) == (b"content", given)


async def test_a_bucket_without_a_prefix_allows_all_of_it(
    source: Make, bucket: ObjectBucket
) -> None:
    made = await source(**bucket.access, allow=[f"s3://{bucket.name}"])
    path = bucket.put("anything", b"content")
    assert (await made.fetch(reference(path), message())).content == b"content"


async def test_one_byte_too_many_is_refused_for_good(
    source: Make, bucket: ObjectBucket, root: Path
) -> None:
    made = await source(**bucket.settings, max_bytes=MIB)
    for size, fits in ((MIB, True), (MIB + 1, False)):
        (root / "file").write_bytes(b"x" * size)
        for path in (bucket.put("invoices/x", b"x" * size), "objects://files/file"):
            if fits:
                assert len((await made.fetch(reference(path), message())).content) == size
            else:
                error = await refused(made, path)
                assert error.permanent
                assert f"more than {MIB} bytes" in str(error)


async def test_nothing_of_what_says_to_be_too_large_is_read(
    source: Make, answering: Answering
) -> None:
    answering.length = MIB + 1  # and then it hangs up: reading it would be another error
    error = await refused(await source(**answering.settings, max_bytes=MIB), "s3://bucket/x")
    assert error.permanent


@pytest.mark.parametrize(
    ("status", "permanent"),
    [
        (403, True),
        (404, True),
        (400, False),
        (401, False),
        (429, False),
        (500, False),
        (503, False),
    ],
)
async def test_denied_and_missing_are_for_good_and_all_else_may_pass(
    source: Make, answering: Answering, status: int, permanent: bool
) -> None:
    answering.status = status
    error = await refused(await source(**answering.settings), "s3://bucket/a-secret-key")
    assert error.permanent is permanent
    assert permanent or f"the store answered {status}" in str(error)
    assert "a-secret-key" not in str(error)


async def test_content_that_ends_too_early_is_never_taken(
    source: Make, answering: Answering
) -> None:
    answering.length, answering.body = 100, b"only this"
    assert not (await refused(await source(**answering.settings), "s3://bucket/x")).permanent


async def test_a_silent_store_is_given_up_in_time(source: Make, answering: Answering) -> None:
    answering.status = 0
    made = await source(**answering.settings, timeout_seconds=0.2)
    error = await refused(made, "s3://bucket/x")
    assert not error.permanent
    assert "not there within 0.2 s" in str(error)


async def test_a_store_that_is_down_may_come_back(source: Make, answering: Answering) -> None:
    settings = answering.settings | {"endpoint": "http://127.0.0.1:1"}
    error = await refused(await source(**settings), "s3://bucket/x")
    assert not error.permanent
    assert "does not answer" in str(error)


async def test_a_root_that_is_not_mounted_may_come_back(source: Make, root: Path) -> None:
    made = await source()
    root.rmdir()  # noqa: ASYNC240 - a test may block
    assert not (await refused(made, "objects://files/x")).permanent


async def test_a_file_is_no_folder(source: Make, root: Path) -> None:
    (root / "file").write_text("x")
    assert (await refused(await source(), "objects://files/file/x")).permanent


# --- the whole service --------------------------------------------------------------------------


@pytest.fixture
def service_plugins(bucket: ObjectBucket) -> Mapping[str, Any]:
    return {"attachments": ["objects"], "objects": bucket.settings}


async def test_a_message_goes_out_with_what_is_in_the_bucket(
    service: RunningService, bucket: ObjectBucket, smtp_server: FaultSMTP
) -> None:
    path = bucket.put("invoices/1.csv", b"a;b\r\n", ContentType="text/csv")
    attachments = [{"filename": "1.csv", "storage_path": path}]
    gone = [{"filename": "2.csv", "storage_path": f"s3://{bucket.name}/invoices/2.csv"}]
    await service.hand_in(mail("m1", attachments=attachments), mail("m2", attachments=gone))
    await service.dispatch()
    assert await service.status("m1") == "sent"
    [copy] = smtp_server.accepted
    assert b"Content-Type: text/csv" in copy.data
    shown = await service.show("m2")
    assert shown["status"] == "error"
    assert "Attachment fetch failed: 2.csv: there is no such object" in shown["error"]


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"allow": ["bucket/prefix"]}, "s3://bucket"),
        ({"allow": ["s3://B"]}, "s3://bucket"),
        ({"allow": ["s3://bucket/a/../b"]}, "plain path"),
        ({"roots": {"a/b": "/srv"}}, "name of a root"),
        ({"roots": {"a": "srv"}}, "absolute"),
        ({"roots": {"a": "/srv/../etc"}}, "absolute"),
        ({"max_bytes": 0}, "greater"),
        ({"access_key_id": "k"}, "belong together"),
        ({"session_token": "t"}, "belongs to"),
        ({"endpoint": "http://x"}, "allow_http"),
        ({"endpoint": "x:1"}, "https"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        ObjectsSettings(**settings)


def test_the_secret_is_not_shown() -> None:
    settings = ObjectsSettings(access_key_id="k", secret_access_key=SECRET, session_token=SECRET)
    assert SECRET not in repr(settings)


def test_the_package_announces_the_source() -> None:
    [entry] = entry_points(group="asyncmail.v1", name="objects")
    [offer] = entry.load().asyncmail_attachments()
    assert isinstance(offer, Offer)
    assert offer.name == "objects"
