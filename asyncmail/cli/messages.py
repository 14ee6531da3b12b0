"""``asyncmail messages``: what the running service holds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import click

from asyncmail.cli.failures import FAILURE
from asyncmail.cli.options import json_option, with_service
from asyncmail.cli.output import cell, moment, print_json, print_record, print_table
from asyncmail.cli.service import Service

_STATUSES = ("queued", "sending", "deferred", "sent", "error")
_PAGE = 1000

_status = click.option("--status", type=click.Choice(_STATUSES), help="Only these.")
_account = click.option("--account", metavar="ID", help="Only those of this account.")


@click.group("messages")
def command() -> None:
    """List, show, delete and export messages."""


@command.command("list")
@_status
@_account
@click.option("--active", is_flag=True, help="Only those that are neither sent nor failed.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@json_option
@with_service
def list_(
    service: Service,
    status: str | None,
    account: str | None,
    active: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List messages, in the order they arrived."""
    found = list(_records(service, limit, status, account, active))
    if as_json:
        print_json(found)
        return
    headings = ("ID", "ACCOUNT", "PRIORITY", "STATUS", "CREATED", "DUE", "REPORTED", "ERROR")
    print_table(headings, [_row(record) for record in found])


@command.command("show")
@click.argument("id")
@json_option
@with_service
def show(service: Service, id: str, as_json: bool) -> None:
    """Show a message with every attempt, reply and report."""
    record = service.get("messages", id)
    if as_json:
        print_json(record)
        return
    lists = ("attempts", "recipients", "reports")
    print_record(
        (key, moment(value) if key.endswith(("_ts", "_at")) else value)
        for key, value in record.items()
        if key not in (*lists, "ok", "message")
    )
    for name in lists:
        entries = record.get(name)
        if entries:
            click.echo(f"\n{name}:")
            for entry in entries:
                click.echo(f"  {_line(entry)}")


@command.command("delete")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
@with_service
def delete(service: Service, ids: tuple[str, ...], as_json: bool) -> None:
    """Delete messages: those that wait vanish unreported, reported ones are forgotten.

    What is being sent, or not yet reported, is refused.
    """
    answer = service.post("commands", "delete-messages", json={"ids": list(ids)})
    refused = answer.get("refused") or []
    if as_json:
        print_json(answer)
    else:
        click.echo(f"removed {answer['removed']}")
        for unknown in answer["not_found"]:
            click.echo(f"{cell(unknown)}: not found")
        for entry in refused:
            click.echo(f"{cell(entry['id'])}: {cell(entry['reason'])}")
    if refused or answer["not_found"]:
        raise click.exceptions.Exit(FAILURE)


@command.command("export")
@_status
@_account
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Instead of stdout."
)
@with_service
def export(service: Service, status: str | None, account: str | None, output: Path | None) -> None:
    """Write every message as a line of JSON (NDJSON)."""
    lines = service.lines("messages", status=status, account_id=account)
    first = list(islice(lines, 1))  # a refusal comes before the file is touched
    with click.open_file(output or "-", "w", encoding="utf-8") as out:
        out.writelines(f"{line}\n" for line in chain(first, lines))


def _records(
    service: Service, limit: int, status: str | None, account: str | None, active: bool
) -> Iterator[dict[str, Any]]:
    """Up to ``limit`` records, a page at a time."""
    cursor = None
    while limit > 0:
        page = service.get(
            "messages",
            status=status,
            account_id=account,
            active_only="true" if active else None,
            limit=min(limit, _PAGE),
            cursor=cursor,
        )
        yield from page["messages"]
        limit -= len(page["messages"])
        cursor = page.get("next_cursor")
        if not cursor:
            return


def _row(record: dict[str, Any]) -> tuple[Any, ...]:
    return (
        record["id"],
        record["account_id"],
        record["priority"],
        record["status"],
        moment(record["created_at"]),
        moment(record["deferred_ts"]),
        moment(record["reported_ts"]),
        record["error"],
    )


def _line(entry: dict[str, Any]) -> str:
    """An attempt, recipient or report on a line; what is null is left out."""
    words = []
    for key, value in entry.items():
        if value is None or value is False or value in ("", []):
            continue
        if key == "recipients":
            words.append("; ".join(_line(recipient) for recipient in value))
        else:
            words.append(f"{key}={cell(moment(value) if key.endswith('_ts') else value)}")
    return " ".join(words)
