"""Writing to one Maildir: a message appears in ``new`` as a whole, and stays there after a crash.

https://cr.yp.to/proto/maildir.html; all functions block and belong in a thread.
"""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Draft:
    """A message on disk that no reader sees yet."""

    maildir: Path
    name: str

    @property
    def path(self) -> Path:
        return self.maildir / "tmp" / self.name


def write_draft(maildir: Path, data: bytes, now: float) -> Draft:
    """Make the Maildir if it is missing, and write ``data`` durably into ``tmp``; raises ``OSError``."""
    for part in ("tmp", "new", "cur"):
        _make_folder(maildir / part)
    draft = Draft(maildir, _unique_name(now))
    try:
        descriptor = os.open(draft.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        discard(draft)
        raise
    return draft


def publish(draft: Draft) -> Path:
    """Move a draft to ``new`` in one step; ``OSError`` means that it is not there."""
    target = draft.maildir / "new" / draft.name
    draft.path.rename(target)
    return target


def discard(draft: Draft) -> None:
    """Remove a draft; one that cannot be removed is left to the readers, who clean ``tmp``."""
    with suppress(OSError):
        draft.path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable; raises ``OSError``."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    """Make a folder, its parents too, each one durable in its own parent."""
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        _make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    sync_folder(folder.parent)


def _unique_name(now: float) -> str:
    host = socket.gethostname().replace("/", r"\057").replace(":", r"\072")
    seconds, fraction = divmod(now, 1)
    return f"{seconds:.0f}.M{fraction * 1e6:.0f}P{os.getpid()}R{secrets.token_hex(8)}.{host}"
