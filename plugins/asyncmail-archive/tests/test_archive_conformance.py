"""The policy keeps the promises that every retention policy has to keep, on a folder and on S3."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from archive_places import S3Bucket

from asyncmail import Retention
from asyncmail.testing import RetentionSuite


class TestArchiveInAFolder(RetentionSuite):
    offer = "archive"

    @pytest.fixture(autouse=True)
    def root(self, tmp_path: Path) -> None:
        self.place = tmp_path / "archive"

    @pytest.fixture
    def settings(self) -> Mapping[str, Any]:
        return {"to": str(self.place), "accounts": {"shop": 60}, "tags": {"invoice": 3600}}

    async def break_destination(self, extension: Retention) -> None:
        self.place.rmdir()
        self.place.write_text("a file where the archive should be")


class TestArchiveOnS3(RetentionSuite):
    offer = "archive"

    @pytest.fixture(autouse=True)
    def place(self, bucket: S3Bucket) -> None:
        self.bucket = bucket

    @pytest.fixture
    def settings(self) -> Mapping[str, Any]:
        return self.bucket.settings

    async def break_destination(self, extension: Retention) -> None:
        self.bucket.vanish()
