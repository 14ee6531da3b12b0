"""Where and with what something was measured: without this a figure says nothing."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("asyncmail", "aiosmtplib", "aiosqlite", "fastapi", "pydantic", "uvicorn", "uvloop")
ROOT = Path(__file__).parents[2]


def facts(folder: Path) -> dict[str, Any]:
    """Machine, versions, commit, command line; ``folder`` is where the queues were."""
    return {
        "machine": f"{_cpu()}, {os.cpu_count()} cores, {_memory_gib()} GiB",
        "system": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release()}",
        "fsync_ms": round(fsync_ms(folder), 2),
        "load_average": [round(value, 1) for value in os.getloadavg()],
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "postfix": _output("postconf", "-dh", "mail_version") or "not installed",
        "packages": {name: version(name) for name in PACKAGES},
        "commit": _commit(),
        "command": " ".join([Path(sys.executable).name, *sys.argv]),
        "time": time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime()),
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The facts for a reader."""
    packages = ", ".join(f"{name} {number}" for name, number in found["packages"].items())
    load = " ".join(map(str, found["load_average"]))
    return [
        f"machine:  {found['machine']}; {found['system']}; fsync of 4 KB {found['fsync_ms']} ms",
        f"versions: Python {found['python']}, SQLite {found['sqlite']},"
        f" Postfix {found['postfix']}, {packages}",
        f"commit:   {found['commit']}; {found['time']}; load average at the start {load}",
        f"command:  {found['command']}",
    ]


def load_now() -> str:
    """For the end of a table: whether others were at work in the meantime."""
    return f"load average at the end {' '.join(f'{value:.1f}' for value in os.getloadavg())}"


def fsync_ms(folder: Path) -> float:
    """Median milliseconds of writing 4 KB and syncing them, of 50 tries."""
    probe = folder / "fsync-probe"
    taken = []
    with probe.open("wb") as file:
        for _ in range(50):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    probe.unlink()
    return sorted(taken)[25] * 1000


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _commit() -> str:
    commit = _output("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD") or "no repository"
    changed = _output("git", "-C", str(ROOT), "status", "--porcelain", "--", "asyncmail")
    return f"{commit} with uncommitted changes" if changed else commit


def _output(*command: str) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None
