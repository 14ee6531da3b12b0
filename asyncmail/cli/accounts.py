"""``asyncmail accounts``: the SMTP accounts of the running service."""

from __future__ import annotations

import sys
from typing import Any

import click

from asyncmail.cli.failures import FAILURE, say
from asyncmail.cli.options import json_option, with_service
from asyncmail.cli.output import print_json, print_record, print_table
from asyncmail.cli.service import Service, ServiceError

_COLUMNS = ("id", "host", "port", "user", "tls", "transport", "state", "last_error")


@click.group("accounts")
def command() -> None:
    """List, add, show and remove SMTP accounts."""


@command.command("list")
@json_option
@with_service
def list_(service: Service, as_json: bool) -> None:
    """List the accounts and the state each is in."""
    accounts = service.get("accounts")["accounts"]
    if as_json:
        print_json(accounts)
    else:
        rows = [[account.get(column) for column in _COLUMNS] for account in accounts]
        print_table([column.upper().replace("_", " ") for column in _COLUMNS], rows)


@command.command("show")
@click.argument("id")
@json_option
@with_service
def show(service: Service, id: str, as_json: bool) -> None:
    """Show one account; passwords are never shown."""
    found = [account for account in service.get("accounts")["accounts"] if account["id"] == id]
    if not found:
        raise ServiceError(f"no account has the id {id!r}", hint="see `asyncmail accounts list`")
    if as_json:
        print_json(found[0])
    else:
        print_record(found[0].items())


@command.command("add")
@click.argument("id")
@click.option("--host", help="Name or address of the SMTP server.")
@click.option("--port", type=click.IntRange(1, 65535), help="Else 587, or 465 with --tls implicit.")
@click.option("--user", help="Name to log in with.")
@click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the password from standard input, hidden at a terminal.",
)
@click.option("--no-password", is_flag=True, help="Forget the password that was stored.")
@click.option("--tls", type=click.Choice(["required", "opportunistic", "implicit", "none"]))
@click.option("--no-verify", is_flag=True, help="Do not check the server's certificate.")
@click.option("--ttl", type=int, help="Seconds that an idle connection is kept.")
@click.option("--limit-per-minute", type=int, help="Most transactions a minute.")
@click.option("--limit-per-hour", type=int, help="Most transactions an hour.")
@click.option("--limit-per-day", type=int, help="Most transactions a day.")
@click.option(
    "--limit-behavior",
    type=click.Choice(["defer", "error"]),
    help="What happens to a message over the limit.",
)
@click.option("--batch-size", type=int, help="Messages of a turn among the accounts.")
@click.option("--max-connections", type=int, help="Most connections at once.")
@click.option("--transport", help="One of [plugins] transports, instead of smtp.")
@click.option(
    "--on-uncertain",
    type=click.Choice(["retry", "hold"]),
    help="What happens if nobody knows whether a message was taken.",
)
@with_service
def add(
    service: Service,
    id: str,
    password_stdin: bool,
    no_password: bool,
    no_verify: bool,
    **given: Any,
) -> None:
    """Add an account, or replace it: what is not given takes its default, except the password."""
    if password_stdin and no_password:
        raise click.UsageError("--password-stdin and --no-password contradict each other")
    account = {"id": id} | {key: value for key, value in given.items() if value is not None}
    if no_verify:
        account["verify"] = False
    if no_password:
        account["password"] = None
    elif password_stdin:
        account["password"] = _read_password()
    service.post("account", json=account)
    click.echo(f"account {id} is set up")


@command.command("remove")
@click.argument("id")
@click.confirmation_option(
    prompt="Messages that wait for this account will be reported as errors. Remove it?",
)
@with_service
def remove(service: Service, id: str) -> None:
    """Remove an account; its messages that wait become reported errors."""
    service.delete("account", id)
    click.echo(f"account {id} is removed")


def _read_password() -> str:
    if sys.stdin.isatty():
        password: str = click.prompt("Password", hide_input=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        say("error", "standard input has no password in it", "red")
        raise click.exceptions.Exit(FAILURE)
    return password
