"""The attachment source ``files``: regular files below folders that the operator allowed."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import stat
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

from pydantic import Field, field_validator

from asyncmail import AttachmentError, AttachmentSource, PluginSettings
from asyncmail.builtin.content import DEFAULT_MAX_BYTES, check_md5, too_large
from asyncmail.model import Attachment, AttachmentReference, Message

READERS = 4  # threads of our own: a network file system that hangs holds up nobody else
BLOCK = 1 << 20

_is_volume = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*").fullmatch
_SCHEMES = frozenset({"base64", "http", "https"})

# The file is not there or not for us. Anything else (EIO, ESTALE, EMFILE ...) may pass.
_FINAL = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EACCES,
        errno.EPERM,
        errno.ELOOP,
        errno.ENXIO,
        errno.ENAMETOOLONG,
        errno.EINVAL,
    }
)


class FilesSettings(PluginSettings):
    """``roots``: names of volumes and the absolute folder of each; ``max_bytes`` of one file."""

    roots: Mapping[str, Path] = Field(default_factory=dict)
    max_bytes: int = Field(default=DEFAULT_MAX_BYTES, gt=0)

    @field_validator("roots")
    @classmethod
    def _usable(cls, roots: Mapping[str, Path]) -> Mapping[str, Path]:
        for volume, folder in roots.items():
            if not _is_volume(volume) or volume in _SCHEMES:
                raise ValueError(f"'{volume}' cannot be the name of a volume")
            if not folder.is_absolute() or ".." in folder.parts:
                raise ValueError(f"the folder of '{volume}' should be an absolute path without ..")
        return roots


class Files(AttachmentSource):
    """``volume:dir/file`` and ``/allowed/folder/dir/file``. Symbolic links below a root are refused."""

    def __init__(self, settings: FilesSettings, logger: logging.Logger) -> None:
        self._roots = settings.roots
        self._max_bytes = settings.max_bytes
        self._logger = logger
        self._readers = ThreadPoolExecutor(READERS, "asyncmail-files")

    async def start(self) -> None:
        for volume, folder in self._roots.items():
            if not await asyncio.to_thread(folder.is_dir):
                self._logger.warning("volume '%s': %s is not a folder yet", volume, folder)

    async def stop(self) -> None:
        self._readers.shutdown(wait=False, cancel_futures=True)

    def handles(self, reference: AttachmentReference) -> bool:
        if reference.fetch_mode is not None:
            return reference.fetch_mode == "filesystem"
        path = reference.storage_path
        return path.startswith("/") or path.partition(":")[0] in self._roots

    async def fetch(self, reference: AttachmentReference, message: Message) -> Attachment:
        root, steps = self._locate(reference)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read, reference, root, steps)

    def _locate(self, reference: AttachmentReference) -> tuple[Path, tuple[str, ...]]:
        """The root, and the names that lead from it to the file."""
        path = reference.storage_path
        if path.startswith("/"):
            steps = tuple(path.split("/")[1:])
            within = [
                root.parts[1:]
                for root in self._roots.values()
                if steps[: len(root.parts) - 1] == root.parts[1:]
            ]
            if not within:
                raise _refused(reference, "outside of every allowed folder")
            best = max(within, key=len)
            root, steps = Path("/", *best), steps[len(best) :]
        else:
            volume, _, rest = path.partition(":")
            if volume not in self._roots:
                raise _refused(reference, "no such volume")
            root, steps = self._roots[volume], tuple(rest.split("/"))
        if not steps or any(map(_is_odd, steps)):
            raise _refused(reference, "not a plain path")
        return root, steps

    def _read(
        self, reference: AttachmentReference, root: Path, steps: tuple[str, ...]
    ) -> Attachment:
        """Runs in a thread."""
        try:
            folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:  # a volume that is not mounted may come back
            raise _failed(reference, error, permanent=False) from None
        try:
            file = _open_below(folder, steps)
        except OSError as error:
            raise _failed(reference, error, permanent=error.errno in _FINAL) from None
        except ValueError:  # a name with lone surrogates, which no file can have
            raise _refused(reference, "not a plain path") from None
        finally:
            os.close(folder)
        try:
            content = self._read_all(reference, file)
        except OSError as error:
            raise _failed(reference, error, permanent=False) from None
        finally:
            os.close(file)
        check_md5(content, reference)
        return Attachment(content)

    def _read_all(self, reference: AttachmentReference, file: int) -> bytes:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise _refused(reference, "not a regular file")
        if status.st_size > self._max_bytes:
            raise too_large(reference, self._max_bytes)
        content = bytearray()
        while block := os.read(file, BLOCK):
            content += block
            if len(content) > self._max_bytes:  # it grows while we read
                raise too_large(reference, self._max_bytes)
        return bytes(content)


def _open_below(folder: int, steps: tuple[str, ...]) -> int:
    """Open a file step by step from an open folder, so that no link can lead out of it.

    Without O_NONBLOCK, opening a fifo would wait for its writer.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    current = os.dup(folder)
    try:
        for step in steps[:-1]:
            deeper = os.open(step, flags | os.O_DIRECTORY, dir_fd=current)
            os.close(current)
            current = deeper
        return os.open(steps[-1], flags | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=current)
    finally:
        os.close(current)


def _is_odd(step: str) -> bool:
    """Nothing is ever decoded here, but a name that somebody else might decode is no name either."""
    return not {step, unquote(step)}.isdisjoint({"", ".", ".."}) or not {
        "\0",
        "\\",
        "/",
    }.isdisjoint(step + unquote(step))


def _refused(reference: AttachmentReference, why: str) -> AttachmentError:
    return AttachmentError(f"{reference.filename}: {why}", permanent=True)


def _failed(reference: AttachmentReference, error: OSError, *, permanent: bool) -> AttachmentError:
    return AttachmentError(f"{reference.filename}: {error.strerror}", permanent=permanent)
