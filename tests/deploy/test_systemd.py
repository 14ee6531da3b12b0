"""The unit starts what the command line offers, waits for its grace, and gives it little else."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

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
    ],
)
def test_it_is_hardened(key: str, value: str) -> None:
    assert service()[key] == [value]


@pytest.mark.parametrize("key", ["MemoryMax", "LimitNOFILE"])
def test_its_resources_are_bounded(key: str) -> None:
    assert service()[key]
