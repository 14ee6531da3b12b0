"""``asyncmail send``: hand messages over, one composed from options or many from a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import click

from asyncmail.cli.compose import compose
from asyncmail.cli.failures import FAILURE, warn
from asyncmail.cli.options import json_option, with_service
from asyncmail.cli.output import cell, print_json
from asyncmail.cli.reading import read_messages
from asyncmail.cli.service import Service

BATCH = 100


@click.command("send")
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--from", "sender", metavar="ADDRESS", help="Who it is from.")
@click.option("--to", multiple=True, metavar="ADDRESS", help="Recipient; may be repeated.")
@click.option("--cc", multiple=True, metavar="ADDRESS", help="May be repeated.")
@click.option("--bcc", multiple=True, metavar="ADDRESS", help="May be repeated.")
@click.option("--reply-to", metavar="ADDRESS")
@click.option("--subject", default="", metavar="TEXT")
@click.option("--body", default="", metavar="TEXT", help="The text; - reads standard input.")
@click.option("--html", is_flag=True, help="The body is HTML.")
@click.option(
    "--attach",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file to attach; may be repeated.",
)
@click.option("--account", metavar="ID", help="Account to send with, instead of 'default'.")
@click.option("--priority", metavar="PRIORITY", help="immediate, high, medium or low.")
@click.option("--id", metavar="ID", help="The message's id; else one is made up.")
@json_option
@with_service
def command(service: Service, file: BinaryIO | None, as_json: bool, **options: Any) -> None:
    """Hand messages to the running service.

    One message, composed from the options; or those of FILE (- is standard input): a JSON list, an
    object with "messages", or a JSON object a line (NDJSON), as POST /commands/add-messages takes them,
    in batches of 100. Repeating a file is safe: ids that are known are refused, not sent twice.

    Ends with 1 if any message was rejected.
    """
    messages: Iterator[Any]
    total: int | None
    if file is None:
        messages, total = iter([compose(**options)]), 1
    else:
        if options["sender"] or options["to"]:
            raise click.UsageError("give a FILE, or --from and --to, not both")
        messages, total = read_messages(file)
    sums = _Sums()
    try:
        _send_all(service, messages, total, sums)
    finally:
        _print(sums, as_json)
    if sums.rejected:
        raise click.exceptions.Exit(FAILURE)


class _Sums:
    """What the service said of all batches so far."""

    def __init__(self) -> None:
        self.queued = 0
        self.rejected: list[dict[str, Any]] = []
        self.warnings: list[dict[str, Any]] = []


def _send_all(service: Service, messages: Iterator[Any], total: int | None, sums: _Sums) -> None:
    hidden = total == 1 or not sys.stderr.isatty()
    with click.progressbar(
        messages,
        length=total,
        label="sending",
        show_pos=True,
        hidden=hidden,
        file=sys.stderr,
        update_min_steps=BATCH,
    ) as bar:
        source = iter(bar)
        while batch := list(islice(source, BATCH)):
            _send(service, batch, sums)


def _send(service: Service, batch: Sequence[Any], sums: _Sums) -> None:
    answer = service.post("commands", "add-messages", json={"messages": batch})
    sums.queued += answer["queued"]
    sums.rejected += answer["rejected"]
    sums.warnings += answer.get("warnings") or []


def _print(sums: _Sums, as_json: bool) -> None:
    if as_json:
        print_json({"queued": sums.queued, "rejected": sums.rejected, "warnings": sums.warnings})
        return
    click.echo(f"queued {sums.queued}, rejected {len(sums.rejected)}")
    for entry in sums.rejected:
        click.echo(f"{cell(entry['id'])}: {cell(entry['reason'])}")
    for entry in sums.warnings:
        warn(f"{cell(entry['id'])}: {cell(entry['warning'])}")
