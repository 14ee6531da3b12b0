"""Where the archive lies: a folder or a bucket. ``write`` returns when an object is durable."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from asyncmail_archive.settings import ArchiveSettings

FAILURES = (OSError, ValueError, BaseError)  # what writing may raise


class Storage(ABC):
    """Writing replaces an object of the same name, in one step."""

    async def open(self) -> None:
        """Make the place, where that is ours to make; raises ``OSError``."""

    def close(self) -> None:
        """Give up what ``open`` opened."""

    @abstractmethod
    async def write(self, name: str, data: bytes) -> None:
        """Return when the object is durable; raises one of ``FAILURES``."""


class Folder(Storage):
    """Files below a folder, each synced with its name before it counts."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def open(self) -> None:
        await asyncio.to_thread(_make_folder, self._root)

    async def write(self, name: str, data: bytes) -> None:
        store = LocalStore(self._root)  # an error if the folder is gone: it may not be mounted
        await store.put_async(name, data, use_multipart=False)
        await asyncio.to_thread(self._sync, self._root / name)

    def _sync(self, file: Path) -> None:
        """The content, and the entry of each step that leads to it from the root."""
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fchmod(descriptor, 0o600)  # mail is for its owner alone
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        for folder in file.parents:
            _sync_folder(folder)
            if folder == self._root:
                return


class Bucket(Storage):
    """Objects of an S3-compatible service, which acknowledges a PUT when it is durable there."""

    def __init__(self, settings: ArchiveSettings) -> None:
        self._settings = settings
        self._store: S3Store | None = None

    async def open(self) -> None:
        self._store = _s3_store(self._settings)

    def close(self) -> None:
        self._store = None  # its connections end with it

    async def write(self, name: str, data: bytes) -> None:
        if self._store is None:
            raise ConnectionError("the archive is not started")
        await self._store.put_async(name, data, use_multipart=False)


def storage_of(settings: ArchiveSettings) -> Storage:
    return Bucket(settings) if settings.folder is None else Folder(settings.folder)


def _s3_store(settings: ArchiveSettings) -> S3Store:
    """Without keys in the settings, obstore looks for them where the AWS tools do."""
    bucket, prefix = settings.bucket
    secrets = {
        "secret_access_key": settings.secret_access_key,
        "session_token": settings.session_token,
    }
    config = {
        "endpoint": settings.endpoint,
        "region": settings.region,
        "access_key_id": settings.access_key_id,
        **{name: secret and secret.get_secret_value() for name, secret in secrets.items()},
    }
    seconds = timedelta(seconds=settings.timeout_seconds)
    return S3Store(
        bucket,
        prefix=prefix or None,
        config={name: value for name, value in config.items() if value},  # type: ignore[arg-type]
        client_options={"allow_http": settings.allow_http, "timeout": seconds},
        retry_config={"max_retries": 2, "retry_timeout": seconds},
    )


def _make_folder(folder: Path) -> None:
    """Make a folder, its parents too, each one durable in its own parent."""
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        _make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is in the way of the archive")
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
