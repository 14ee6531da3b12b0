"""A disk of a few megabytes that a test can fill: tmpfs in a mount namespace of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from programs import require_program

from asyncmail.testing.real_service import ASYNCMAIL

PIECE = bytes(1 << 16)


class SmallDisk:
    """``path`` is where programs in the namespace find it; the methods reach it from outside."""

    def __init__(self, path: Path, pid: int) -> None:
        self.path = path
        self._pid = pid
        self._outside = Path(f"/proc/{pid}/root{path}")
        self._filler = self._outside / "somebody-elses-file"

    def program(self, folder: Path, program: Sequence[str] = ASYNCMAIL) -> tuple[str, ...]:
        """What runs ``program`` where the disk is, in ``folder``."""
        into = ("nsenter", "--target", str(self._pid), "--user", "--mount")
        there = ("env", f"--chdir={folder}")  # whoever enters a namespace is in its root
        return (*into, "--preserve-credentials", "--", *there, *program)

    def fill(self, leave: int = 0) -> None:
        """Another program takes all the room but so many bytes."""
        with self._filler.open("ab", buffering=0) as file:
            while (room := self.free - leave) > 0:
                try:
                    file.write(PIECE[:room])
                except OSError:
                    return

    def clear(self) -> None:
        """It gives the room back."""
        self._filler.unlink()

    @property
    def free(self) -> int:
        disk = os.statvfs(self._outside)
        return disk.f_bavail * disk.f_frsize

    def names(self) -> set[str]:
        return {path.name for path in self._outside.iterdir()}


@asynccontextmanager
async def small_disk(path: Path, size: int) -> AsyncIterator[SmallDisk]:
    """One of ``size`` bytes, until the end of the block."""
    path.mkdir()  # noqa: ASYNC240 - one call
    unshare = require_program("unshare", "util-linux")
    script = 'mount -t tmpfs -o "size=$1" none "$2" && echo mounted && exec sleep infinity'
    process = await asyncio.create_subprocess_exec(
        *(unshare, "--user", "--map-root-user", "--mount"),
        *("sh", "-c", script, "sh", str(size), str(path)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        said = await process.stdout.readline()
        assert said == b"mounted\n", "this needs user namespaces (sysctl user.max_user_namespaces)"
        yield SmallDisk(path, process.pid)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
