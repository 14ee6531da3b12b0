"""The command ``asyncmail-webhook``: posts results again that a receiver has lost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import click

from asyncmail.clock import SystemClock
from asyncmail.errors import AsyncmailError
from asyncmail_webhook.configuration import Configuration, read
from asyncmail_webhook.endpoint import Endpoint, Verdict
from asyncmail_webhook.events import event_type, webhook_id
from asyncmail_webhook.history import History

FAILURE = 1


@click.group()
def main() -> None:
    """Webhooks of asyncmail."""


@main.command("replay")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option(
    "--config", type=click.Path(path_type=Path), help="The service's configuration (TOML)."
)
@click.option("--url", help="The service's REST API, if it is not where the configuration says.")
@click.option("--token", help="Its API token.")
def replay(ids: tuple[str, ...], config: Path | None, url: str | None, token: str | None) -> None:
    """Post the results of these messages again, with the webhook-id they always had.

    The running service is asked for them; those it has forgotten cannot be posted. Exit code 1: not
    all were taken.
    """
    try:
        found = read(config, os.environ)
        service = url or found.service
        done = asyncio.run(_replay(ids, found, service, found.token if token is None else token))
    except AsyncmailError as error:
        raise click.ClickException(str(error)) from error
    if not done:
        raise click.exceptions.Exit(FAILURE)


async def _replay(ids: Sequence[str], found: Configuration, service: str, token: str) -> bool:
    """Whether there was something to post of every id, and all of it was taken."""
    done = True
    async with History(service, token) as history, Endpoint(found.settings, SystemClock()) as end:
        for id in ids:
            reports = [
                report
                for report in await history.reports(id)
                if event_type(report) in found.settings.events
            ]
            if not reports:
                click.echo(f"{id}: no result to report", err=True)
                done = False
            for report in reports:
                outcome = await end.post(report)
                taken = outcome.verdict is Verdict.TAKEN
                words = "taken" if taken else outcome.words
                click.echo(f"{id}: {event_type(report)} {webhook_id(report)}: {words}")
                done = done and taken
                if outcome.verdict is Verdict.DOWN:
                    raise click.ClickException(f"stopped at {id}: the receiver takes none now")
    return done
