"""The built-in plugins keep the promises that strangers' plugins have to keep."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from asyncmail.model import AttachmentReference, Message
from asyncmail.testing import samples
from asyncmail.testing.suites import (
    AttachmentSourceSuite,
    HttpReceiver,
    RetentionSuite,
    SinkSuite,
    TransportSuite,
    ValidatorSuite,
)


class TestSmtp(TransportSuite):
    offer = "smtp"


class TestGenropy(SinkSuite):
    offer = "genropy"

    @pytest.fixture
    def settings(self, receiver: HttpReceiver) -> Mapping[str, Any]:
        return {"proxy_sync_url": receiver.url, "proxy_sync_token": "t0ken-for-the-application"}


class TestAddresses(ValidatorSuite):
    offer = "addresses"

    @pytest.fixture
    def rejected(self) -> Sequence[Message]:
        return [samples.message("local", "root@localhost"), samples.message("ip", "a@[192.0.2.1]")]


class TestDays(RetentionSuite):
    offer = "days"


class TestFiles(AttachmentSourceSuite):
    offer = "files"

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Mapping[str, Any]:
        root = tmp_path / "root"
        root.mkdir()
        root.joinpath("one.txt").write_bytes(b"one")
        root.joinpath("two.txt").write_bytes(b"two" * 100_000)
        root.joinpath("link").symlink_to(tmp_path / "secret.txt")
        tmp_path.joinpath("secret.txt").write_bytes(b"not for you")
        return {"roots": {"docs": str(root)}}

    @pytest.fixture
    def present(self) -> Sequence[tuple[AttachmentReference, bytes]]:
        return [
            (samples.reference("docs:one.txt"), b"one"),
            (samples.reference("docs:two.txt"), b"two" * 100_000),
        ]

    @pytest.fixture
    def missing(self) -> AttachmentReference:
        return samples.reference("docs:three.txt")

    @pytest.fixture
    def outside(self, tmp_path: Path) -> Sequence[AttachmentReference]:
        paths = ("docs:../secret.txt", "docs:link", "/etc/passwd", f"{tmp_path}/secret.txt")
        return [samples.reference(path) for path in paths]


class TestBase64(AttachmentSourceSuite):
    offer = "base64"
    cannot = {  # noqa: RUF012 - never changed
        "test_nothing_outside_of_what_is_allowed_is_reached": "inline content is nowhere else"
    }

    @pytest.fixture
    def present(self) -> Sequence[tuple[AttachmentReference, bytes]]:
        contents = (b"hello", b"\x00\xff" * 1000)
        return [
            (samples.reference("base64:" + base64.b64encode(content).decode()), content)
            for content in contents
        ]

    @pytest.fixture
    def missing(self) -> AttachmentReference:
        return samples.reference("base64:???")


class TestHttps(AttachmentSourceSuite):
    offer = "https"
    cannot = dict.fromkeys(
        (
            "test_the_content_is_fetched",
            "test_it_handles_its_own_references_only",
            "test_what_is_missing_is_an_attachment_error",
            "test_content_with_another_md5_is_refused",
            "test_many_at_once_do_not_mix",
        ),
        "no host is allowed here; test_attachments_https.py has a real server",
    )

    @pytest.fixture
    def outside(self) -> Sequence[AttachmentReference]:
        return [samples.reference("https://127.0.0.1/x"), samples.reference("http://a.example/x")]
