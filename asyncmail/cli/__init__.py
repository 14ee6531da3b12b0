"""The command line: this file has the table of the verbs, each group of verbs has its own.

A verb's module is imported when the verb is used, and imports what is heavy when it runs.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from asyncmail import __version__
from asyncmail.cli.failures import EXIT_CODES, fail
from asyncmail.errors import AsyncmailError

# verb -> (module that has it as ``command``, its line in the help)
VERBS: dict[str, tuple[str, str]] = {
    "demo": ("asyncmail.cli.demo", "Watch real mail go through the real service."),
    "serve": ("asyncmail.cli.serve", "Run the service."),
    "check": (
        "asyncmail.cli.check",
        "Look for everything that would keep the service from starting.",
    ),
    "plugins": ("asyncmail.cli.plugins", "List what is loaded, failed and disabled."),
    "config": ("asyncmail.cli.config", "Show the configuration and where each value comes from."),
    "keys": ("asyncmail.cli.keys", "Make keys, and encrypt stored passwords with the newest one."),
    "accounts": ("asyncmail.cli.accounts", "List, add, show and remove SMTP accounts."),
    "messages": ("asyncmail.cli.messages", "List, show, delete and export messages."),
    "send": ("asyncmail.cli.send", "Hand messages to the running service."),
}


class _Verbs(click.Group):
    """A group that knows its verbs from the table, and turns our errors into exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(VERBS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, words) for verb, (_, words) in VERBS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AsyncmailError as error:
            if ctx.params["debug"]:
                raise
            ctx.exit(fail(error))


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"Exit codes: {', '.join(f'{code} {words}' for code, words in EXIT_CODES.items())}.",
)
@click.version_option(__version__, message="%(prog)s %(version)s", prog_name="asyncmail")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Mail in by REST, out by SMTP, every outcome reported back."""
