"""``asyncmail demo``: watch real mail go through the real service, on this machine alone."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asyncmail.cli.failures import FAILURE
from asyncmail.cli.output import print_json, print_table

if TYPE_CHECKING:
    from asyncmail.demo import Tally


@click.command("demo")
@click.option("--messages", default=1000, show_default=True, type=click.IntRange(1, 1_000_000))
@click.option("--port", default=8000, show_default=True, help="Of the REST API; 0 picks one.")
@click.option("--exit", "end", is_flag=True, help="End after the table; 1 if a sum is not right.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.pass_context
def command(ctx: click.Context, messages: int, port: int, end: bool, as_json: bool) -> None:
    """Start the service on a fresh database between a mail server and a report receiver of its own.

    Hands in mail of every kind over HTTP: some is refused, some put off, one connection drops before a
    message was taken, two after it. Then it prints what the two ledgers say, and goes on serving until
    Ctrl-C. Nothing leaves this machine.
    """
    from asyncmail.server import run

    with tempfile.TemporaryDirectory(prefix="asyncmail-demo-") as folder:
        ctx.exit(run(_demo(Path(folder), messages, port, end=end, as_json=as_json)))


async def _demo(folder: Path, messages: int, port: int, *, end: bool, as_json: bool) -> int:
    from asyncmail.demo import Demo, neighbourhood
    from asyncmail.server import stop_on_signals

    stopping = stop_on_signals()
    async with neighbourhood(folder, port) as places:
        click.echo(f"REST API         {places.url}/docs", err=True)
        click.echo(f"mail server      127.0.0.1:{places.smtp.port}", err=True)
        click.echo(f"report receiver  {places.receiver.url}", err=True)
        with _progress(messages) as progress:
            tally = await Demo(places).run(messages, progress)
        _print(tally, as_json)
        if not end:
            click.echo(
                f"\nThe service goes on at {places.url}/docs (metrics: {places.url}/metrics). "
                "Ctrl-C ends it.",
                err=True,
            )
            await stopping.wait()
    return FAILURE if tally.problems else 0


@contextmanager
def _progress(messages: int) -> Iterator[Callable[[int, int], None]]:
    """A bar of reported messages on standard error; nothing when that is no terminal."""
    with click.progressbar(
        length=messages, label="reported", file=sys.stderr, show_pos=True
    ) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield show


def _print(tally: Tally, as_json: bool) -> None:
    if as_json:
        print_json(tally.as_dict())
        return
    print_table(("", "messages"), tally.rows())
    for problem in tally.problems:
        click.echo(f"not right: {problem}")
    if not tally.problems:
        click.echo("Every sum is right.")
