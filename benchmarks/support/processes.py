"""What Linux says of a process: CPU seconds, waiting for a core, resident memory."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, of its children that ended, and of its live descendants."""
    parents: dict[int, list[int]] = {}
    spent: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents.setdefault(int(fields[1]), []).append(int(entry.name))
        spent[int(entry.name)] = sum(map(int, fields[11:15])) / TICKS  # utime stime cutime cstime
    total, look_at = 0.0, [pid]
    while look_at:
        process = look_at.pop()
        total += spent.get(process, 0.0)
        look_at += parents.get(process, [])
    return total


def waited_seconds(pid: int) -> float:
    """How long the main thread was ready to run and had no core (schedstat, second figure)."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9


def resident_mib(pid: int) -> float:
    """Resident memory now, in MiB."""
    return _status_mib(pid, "VmRSS")


def peak_mib(pid: int) -> float:
    """The highest resident memory since ``reset_peak``, in MiB."""
    return _status_mib(pid, "VmHWM")


def reset_peak(pid: int) -> None:
    """Begin a new measurement of the peak (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status_mib(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/{pid}/status has no {name}")
