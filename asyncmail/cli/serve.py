"""``asyncmail serve``: the service itself."""

from __future__ import annotations

from pathlib import Path

import click

from asyncmail.cli.failures import warn
from asyncmail.cli.options import config_option


@click.command("serve")
@config_option
@click.option("--host", metavar="HOST", help="Address to listen on, instead of [server] host.")
@click.option("--port", metavar="PORT", type=int, help="Instead of [server] port.")
@click.option("--insecure", is_flag=True, help="Listen on a network address without any token.")
@click.option("--init", is_flag=True, help="Make a new database where one has gone missing.")
@click.pass_context
def command(
    ctx: click.Context,
    config: Path | None,
    host: str | None,
    port: int | None,
    insecure: bool,
    init: bool,
) -> None:
    """Run the service until SIGTERM or Ctrl-C.

    It then refuses new work, finishes what is under way within [server] shutdown_grace_seconds, and
    ends with 0. A second signal ends it at once.
    """
    from asyncmail.config import load_settings, refuse_open_door, warnings

    settings = load_settings(config, flags={"server.host": host, "server.port": port})
    refuse_open_door(settings, insecure=insecure)
    for words in warnings(settings):
        warn(words)

    from asyncmail.server import serve

    ctx.exit(serve(settings, init=init))
