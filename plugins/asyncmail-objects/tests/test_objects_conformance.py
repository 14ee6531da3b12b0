"""The source keeps the promises that every attachment source has to keep, on S3 and on folders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from objects_bucket import ObjectBucket

from asyncmail.model import AttachmentReference
from asyncmail.testing import AttachmentSourceSuite
from asyncmail.testing.samples import reference

FOREIGN = ("s3:x", "files:x", "/s3://x", "https://s3.example/x", "base64:aGVsbG8=")


class TestObjectsOnS3(AttachmentSourceSuite):
    offer = "objects"

    @pytest.fixture
    def settings(self, bucket: ObjectBucket) -> Mapping[str, Any]:
        return bucket.settings

    @pytest.fixture
    def present(self, bucket: ObjectBucket) -> Sequence[tuple[AttachmentReference, bytes]]:
        contents = {"invoices/1.pdf": b"%PDF-1", "invoices/ä b/2~.bin": bytes(range(256)) * 5000}
        return [(reference(bucket.put(key, data)), data) for key, data in contents.items()]

    @pytest.fixture
    def missing(self, bucket: ObjectBucket) -> AttachmentReference:
        return reference(f"s3://{bucket.name}/invoices/none.pdf")

    @pytest.fixture
    def outside(self, bucket: ObjectBucket) -> Sequence[AttachmentReference]:
        bucket.put("invoices-of-others/1.pdf", b"secret")
        bucket.put("invoices", b"secret")
        keys = (
            *("invoices-of-others/1.pdf", "invoices", "invoices/", "", "/invoices/1.pdf"),
            *("invoices/../invoices-of-others/1.pdf", "invoices/%2e%2e/x", "invoices//x"),
            *("invoices/./x", "invoices\\x", "invoices/..%2fx", "invoices/a\nb"),
        )
        paths = [f"s3://{bucket.name}/{key}" for key in keys]
        return [
            reference(path) for path in (*paths, "s3://other/invoices/1.pdf", "s3://", "s3:///x")
        ]

    @pytest.fixture
    def foreign(self) -> Sequence[AttachmentReference]:
        return [*map(reference, FOREIGN), reference("s3://b/k", fetch_mode="http_url")]


class TestObjectsInFolders(AttachmentSourceSuite):
    offer = "objects"

    @pytest.fixture
    def settings(self, root: Path) -> Mapping[str, Any]:
        return {"roots": {"files": str(root)}}

    @pytest.fixture
    def present(self, root: Path) -> Sequence[tuple[AttachmentReference, bytes]]:
        (root / "sub dir").mkdir()
        contents = {"1.pdf": b"%PDF-1", "sub dir/ü.bin": bytes(range(256)) * 5000, "empty": b""}
        for name, data in contents.items():
            (root / name).write_bytes(data)
        return [(reference(f"objects://files/{name}"), data) for name, data in contents.items()]

    @pytest.fixture
    def missing(self) -> AttachmentReference:
        return reference("objects://files/none.pdf")

    @pytest.fixture
    def outside(self, root: Path) -> Sequence[AttachmentReference]:
        (root / "link.txt").symlink_to("../outside.txt")
        (root / "up").symlink_to("..")
        os.mkfifo(root / "fifo")
        names = (
            "link.txt",
            "up/outside.txt",
            "../outside.txt",
            "%2e%2e/outside.txt",
            "fifo",
            "up",
            "",
        )
        paths = [f"objects://files/{name}" for name in names]
        return [reference(path) for path in (*paths, "objects://other/x", f"objects://{root}/x")]

    @pytest.fixture
    def foreign(self) -> Sequence[AttachmentReference]:
        return [reference(path) for path in FOREIGN]
