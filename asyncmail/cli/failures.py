"""Errors as the command line tells them: a clear line, a hint, and the exit code."""

from __future__ import annotations

import click

from asyncmail.errors import AsyncmailError, DatabaseHeld, DatabaseUnusable, SchemaTooNew

FAILURE = 1
EXIT_CODES = {
    0: "ok",
    FAILURE: "failure",
    2: "wrong usage",
    3: "database unusable",
    4: "database held by another process",
    5: "database of a later release",
    130: "ended by a second signal",
}
_CODE_OF: dict[type[AsyncmailError], int] = {
    DatabaseUnusable: 3,
    DatabaseHeld: 4,
    SchemaTooNew: 5,
}


def exit_code(error: AsyncmailError) -> int:
    return next((code for kind, code in _CODE_OF.items() if isinstance(error, kind)), FAILURE)


def fail(error: AsyncmailError) -> int:
    """Print the error to standard error; returns the exit code that goes with it."""
    problems: tuple[str, ...] = getattr(error, "problems", ())
    if len(problems) > 1:
        say("error", f"the configuration has {len(problems)} problems", "red")
        for problem in problems:
            click.echo(f"  - {problem}", err=True)
    else:
        say("error", str(error.args[0]), "red")
    if error.hint:
        say("hint", error.hint, "cyan")
    return exit_code(error)


def say(kind: str, words: str, colour: str) -> None:
    """``kind: words`` on standard error; the kind in colour where that is a terminal."""
    click.echo(f"{click.style(f'{kind}:', fg=colour)} {words}", err=True)


def warn(words: str) -> None:
    say("warning", words, "yellow")
