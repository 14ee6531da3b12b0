"""The unit starts what the command line offers, waits for its grace, and gives it little else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from programs import require_program

from asyncmail.cli.serve import command
from asyncmail.config import ServerSettings

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "asyncmail.service"


def service() -> dict[str, list[str]]:
    """The keys of ``[Service]`` with all their values."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = line
        elif "=" in line and not line.startswith("#") and section == "[Service]":
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def test_stopping_may_take_the_grace_and_the_two_seconds_after_it() -> None:
    (seconds,) = service()["TimeoutStopSec"]
    assert int(seconds) > ServerSettings().shutdown_grace_seconds + 2


def test_it_starts_a_command_that_exists_with_options_it_has() -> None:
    (start,) = service()["ExecStart"]
    words = start.split()
    assert words[0].endswith("/asyncmail")
    assert words[1] == command.name
    options = [word for word in words[2:] if word.startswith("-")]
    shown = CliRunner().invoke(command, ["--help"]).output
    assert options
    assert all(option in shown for option in options)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("PrivateTmp", "yes"),
        ("ProtectHome", "yes"),
        ("CapabilityBoundingSet", ""),
        ("StateDirectoryMode", "0700"),
        ("UMask", "0077"),
        ("LimitCORE", "0"),
    ],
)
def test_it_is_hardened(key: str, value: str) -> None:
    assert service()[key] == [value]


@pytest.mark.parametrize("key", ["MemoryMax", "LimitNOFILE"])
def test_its_resources_are_bounded(key: str) -> None:
    assert service()[key]


MOST_EXPOSED = (
    15  # tenths; systemd 252 says 1.4, of which most is that the service talks to the network
)


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    program = require_program("systemd-analyze", "systemd")
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=60)


def test_systemd_itself_finds_it_little_exposed() -> None:
    done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(UNIT))
    assert "Overall exposure level" in done.stdout, done.stderr
    assert done.returncode == 0, done.stdout


def test_systemd_itself_understands_every_line(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/asyncmail/bin/asyncmail", sys.executable))
    done = analyze("verify", "--man=no", str(unit))
    assert done.returncode == 0, done.stderr
    assert UNIT.name not in done.stderr  # it may have words to say about other units
