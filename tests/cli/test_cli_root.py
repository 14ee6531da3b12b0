"""The command as a whole: quick to answer, honest in its exit codes, no traceback."""

from __future__ import annotations

import resource
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from stub_service import Run

import asyncmail
from asyncmail.cli import VERBS
from asyncmail.cli.failures import fail
from asyncmail.errors import (
    AsyncmailError,
    ConfigurationError,
    DatabaseHeld,
    DatabaseUnusable,
    PluginError,
    SchemaTooNew,
)

ASYNCMAIL = [sys.executable, "-m", "asyncmail"]


def test_help_answers_within_three_tenths_of_a_second() -> None:
    """In processor time: what else a busy machine does meanwhile is not the command's doing."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    times = []
    for _ in range(5):
        before = spent()
        subprocess.run([*ASYNCMAIL, "--help"], check=True, capture_output=True)
        times.append(spent() - before)
    assert min(times) <= 0.3


def test_help_imports_nothing_heavy() -> None:
    heavy = ("fastapi", "uvicorn", "pydantic", "httpx", "aiosqlite", "asyncio")
    program = (
        "import sys\n"
        "from asyncmail.cli import cli\n"
        "cli(['--help'], prog_name='asyncmail', standalone_mode=False)\n"
        f"sys.exit(', '.join(name for name in {heavy!r} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_there_and_explains_itself(run: Run, verb: str) -> None:
    command = import_module(VERBS[verb][0]).command
    assert isinstance(command, click.Command)
    assert command.name == verb
    assert command.help
    assert VERBS[verb][1] in run("--help").stdout
    assert verb in run(verb, "--help").stdout


def test_every_leaf_takes_a_configuration_file() -> None:
    def leaves(command: click.Command) -> list[click.Command]:
        if isinstance(command, click.Group):
            return [leaf for sub in command.commands.values() for leaf in leaves(sub)]
        return [command]

    without = {"demo", "new"}  # one makes a configuration of its own, the other needs none
    for module, _ in VERBS.values():
        for leaf in leaves(import_module(module).command):
            if leaf.name in without:
                continue
            assert any("--config" in parameter.opts for parameter in leaf.params), leaf.name


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"asyncmail {asyncmail.__version__}\n"


def test_wrong_usage_ends_with_2(run: Run) -> None:
    assert "No such command" in run("srve", code=2).stderr
    assert "No such option" in run("serve", "--prot", "1", code=2).stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AsyncmailError("x"), 1),
        (ConfigurationError("x"), 1),
        (PluginError("x"), 1),
        (DatabaseUnusable("x"), 3),
        (DatabaseHeld("x"), 4),
        (SchemaTooNew("x"), 5),
    ],
)
def test_each_error_has_its_exit_code(error: AsyncmailError, code: int) -> None:
    assert fail(error) == code


def test_an_error_is_one_line_and_a_hint_on_standard_error(run: Run) -> None:
    result = run("config", "show", "--config", "absent.toml", code=1)
    assert result.stdout == ""
    assert result.stderr == (
        "error: configuration file absent.toml cannot be read: No such file or directory\n"
        "hint: name another one with --config\n"
    )


def test_several_problems_are_listed_a_line_each(run: Run) -> None:
    Path("asyncmail.toml").write_text('[server]\nprot = 1\nport = "x"\n')
    stderr = run("config", "show", code=1).stderr
    assert "error: the configuration has 2 problems\n" in stderr
    assert "  - unknown key prot in [server]; did you mean port? (file asyncmail.toml)\n" in stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    def stderr(*args: str) -> str:
        return subprocess.run(
            [*ASYNCMAIL, *args], capture_output=True, text=True, cwd=tmp_path
        ).stderr

    assert "Traceback" in stderr("--debug", "config", "show", "--config", "absent.toml")
    assert "Traceback" not in stderr("config", "show", "--config", "absent.toml")


def test_nothing_is_coloured_when_piped(tmp_path: Path) -> None:
    done = subprocess.run(
        [*ASYNCMAIL, "config", "show", "--config", "absent.toml"],
        capture_output=True,
        cwd=tmp_path,
    )
    assert b"error:" in done.stderr
    assert b"\x1b" not in done.stderr
