"""Reading a journal as its users do, and events to write."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from asyncmail.model import Event, EventKind
from asyncmail.testing.samples import NOW


def event(number: int, ts: float = NOW) -> Event:
    return Event(EventKind.SENT, ts, id=f"m{number}", account_id="shop")


def files(path: Path) -> list[Path]:
    """The rotated files as ``ls`` sorts them, then the current one."""
    return [*sorted(path.parent.glob(f"{path.name}.*")), *([path] if path.exists() else [])]


def lines(path: Path) -> list[dict[str, Any]]:
    """Every line of a journal, rotated files included; each is whole, and ASCII."""
    found = []
    for file in files(path):
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        assert not data or data.endswith(b"\n")
        found += [json.loads(line) for line in data.decode("ascii").splitlines()]
    return found


def numbers(path: Path) -> list[int]:
    return [line["seq"] for line in lines(path)]


def ids(path: Path) -> list[str | None]:
    return [line.get("id") for line in lines(path)]


def mode(path: Path) -> int:
    """What owner, group and others may do."""
    return path.stat().st_mode & 0o777


def inode(path: Path) -> int:
    return path.stat().st_ino


def put(path: Path, data: bytes) -> None:
    """A file that was there before, in a folder that was not."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


def whole(path: Path) -> bytes:
    return path.read_bytes()
