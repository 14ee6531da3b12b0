"""The rotated files of a journal: named by the sequence numbers in them, compressed, and removed."""

from __future__ import annotations

import gzip
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CHUNK = 262_144  # bytes to compress between two looks whether to stop


@dataclass(frozen=True, order=True)
class Rotated:
    """A rotated file, with the first and the last sequence number in it."""

    first: int
    last: int
    path: Path

    @property
    def is_compressed(self) -> bool:
        return self.path.suffix == ".gz"


def name_for(path: Path, first: int, last: int) -> Path:
    """Where the file goes; the names sort in the order of writing."""
    return path.with_name(f"{path.name}.{first:012}-{last:012}")


def listed(path: Path) -> list[Rotated]:
    """The rotated files of the journal at ``path``, the oldest first."""
    is_one = re.compile(re.escape(path.name) + r"\.(\d{12,})-(\d{12,})(?:\.gz)?").fullmatch
    matches = ((entry, is_one(entry.name)) for entry in path.parent.iterdir())
    return sorted(Rotated(int(match[1]), int(match[2]), entry) for entry, match in matches if match)


def tidy(path: Path, *, keep: int, compress: bool, is_over: Callable[[], bool]) -> None:
    """Remove what is beyond ``keep``, and compress the others; raises ``OSError``.

    ``is_over``: whether to leave the rest for the next time.
    """
    for leftover in path.parent.glob(f"{glob_escaped(path.name)}.*.gz.part"):
        leftover.unlink()
    files: dict[int, Rotated] = {}
    for one in listed(path):
        before = files.get(one.first)
        if before is not None:  # stopped between the two last steps of compressing
            before.path.unlink()
        files[one.first] = one
    ordered = list(files.values())
    for one in ordered[:-keep]:
        one.path.unlink()
    if compress:
        for one in ordered[-keep:]:
            if not one.is_compressed and not _compress(one.path, is_over):
                return


def glob_escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def _compress(path: Path, is_over: Callable[[], bool]) -> bool:
    """Put ``.gz`` in the place of a file, as a whole or not at all; false if there was no time."""
    part = path.with_name(f"{path.name}.gz.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with path.open("rb") as source, open(descriptor, "wb") as target:
            with gzip.GzipFile(path.name, "wb", 6, target) as packed:
                while chunk := source.read(CHUNK):
                    if is_over():
                        return False
                    packed.write(chunk)
            target.flush()
            os.fsync(descriptor)
        shutil.copystat(path, part)
        part.rename(path.with_name(f"{path.name}.gz"))
        path.unlink()
    finally:
        part.unlink(missing_ok=True)
    return True
