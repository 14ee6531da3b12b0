"""The attachment source ``objects``: ``s3://bucket/key`` and ``objects://NAME/path``."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import re

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError
from obstore.store import LocalStore, S3Store

from asyncmail import AttachmentError, AttachmentSource, Context
from asyncmail.model import Attachment, AttachmentReference, Message
from asyncmail_objects.location import LOCAL, S3, Location, location_of
from asyncmail_objects.settings import ObjectsSettings
from asyncmail_objects.stores import local_store, s3_store

CHUNK = 1 << 20  # bytes

_is_type = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+").fullmatch
_status = re.compile(r"status code: (\d{3})").search
_SAYS_NOTHING = frozenset({"application/octet-stream", "binary/octet-stream"})
_FINAL = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG})


class Objects(AttachmentSource):
    """Refuses before any I/O what the operator did not allow. Error texts name the file, not keys."""

    def __init__(self, settings: ObjectsSettings, context: Context) -> None:
        self._settings = settings
        self._prefixes = settings.prefixes
        self._log = context.logger
        self._buckets: dict[str, S3Store] = {}

    async def start(self) -> None:
        self._buckets = {bucket: s3_store(bucket, self._settings) for bucket in self._prefixes}
        for name, folder in self._settings.roots.items():
            if not await asyncio.to_thread(folder.is_dir):
                self._log.warning("root '%s': %s is not a folder yet", name, folder)

    async def stop(self) -> None:
        self._buckets = {}  # their connections end with them

    def handles(self, reference: AttachmentReference) -> bool:
        ours = reference.fetch_mode in (None, "s3", "objects")
        return ours and reference.storage_path.startswith((S3, LOCAL))

    async def fetch(self, reference: AttachmentReference, message: Message) -> Attachment:
        location = self._allowed(reference)
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                store = await self._store(reference, location)
                return await self._read(reference, store, location.key)
        except TimeoutError:
            seconds = self._settings.timeout_seconds
            raise _failed(reference, f"not there within {seconds:g} s") from None
        except FileNotFoundError:
            raise _refused(reference, "there is no such object") from None
        except PermissionDeniedError:
            raise _refused(reference, "the store denies access") from None
        except (BaseError, OSError) as error:
            self._log.debug("%s: %s", reference.filename, error)
            raise _failed(reference, _words(error)) from None
        except ValueError:  # what obstore does not take for a path
            raise _refused(reference, "not a plain path") from None

    def _allowed(self, reference: AttachmentReference) -> Location:
        try:
            location = location_of(reference.storage_path)
        except ValueError as error:
            raise _refused(reference, str(error)) from None
        if location.local:
            if location.place not in self._settings.roots:
                raise _refused(reference, "there is no such root")
        elif not location.key.startswith(self._prefixes.get(location.place, ())):
            raise _refused(reference, "not in an allowed bucket and prefix")
        return location

    async def _store(
        self, reference: AttachmentReference, location: Location
    ) -> S3Store | LocalStore:
        if not location.local:
            if location.place not in self._buckets:
                raise _failed(reference, "the source is not started")
            return self._buckets[location.place]
        root = self._settings.roots[location.place]
        if not await asyncio.to_thread(root.is_dir):
            raise _failed(reference, f"root '{location.place}' is not there")
        try:
            return await asyncio.to_thread(local_store, root, location.key)
        except OSError as error:
            final = error.errno in _FINAL
            raise AttachmentError(
                f"{reference.filename}: {error.strerror}", permanent=final
            ) from None

    async def _read(
        self, reference: AttachmentReference, store: S3Store | LocalStore, key: str
    ) -> Attachment:
        limit = self._settings.max_bytes
        result = await obstore.get_async(store, key)
        content = bytearray()
        if result.meta["size"] > limit:
            raise _refused(reference, f"more than {limit} bytes")
        async for chunk in result.stream(min_chunk_size=CHUNK):  # one that ends early is an error
            content += chunk
        whole = bytes(content)
        await asyncio.to_thread(_check_md5, whole, reference)
        return Attachment(whole, _mime_type(result.attributes.get("Content-Type", "")))


def _check_md5(content: bytes, reference: AttachmentReference) -> None:
    expected = reference.content_md5
    if not expected:
        return
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != expected.strip().lower():
        raise _refused(reference, "content_md5 does not match")


def _mime_type(header: str) -> str | None:
    """What the object says of itself, unless that is nothing, or would be a message of its own."""
    mime_type = header.partition(";")[0].strip().lower()
    if not _is_type(mime_type) or mime_type in _SAYS_NOTHING:
        return None
    return None if mime_type.startswith(("multipart/", "message/")) else mime_type


def _refused(reference: AttachmentReference, why: str) -> AttachmentError:
    return AttachmentError(f"{reference.filename}: {why}", permanent=True)


def _failed(reference: AttachmentReference, why: str) -> AttachmentError:
    return AttachmentError(f"{reference.filename}: {why}", permanent=False)


def _words(error: Exception) -> str:
    """What happened, without the URL, which an error of obstore has in it."""
    status = _status(str(error))
    return f"the store answered {status[1]}" if status else "the store does not answer"
