"""``asyncmail plugins``: what is installed beside the core, and what became of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from asyncmail.cli.options import config_option, json_option
from asyncmail.cli.output import print_json, print_table


@click.command("plugins")
@config_option
@json_option
def command(config: Path | None, as_json: bool) -> None:
    """List the installed plugins: loaded, failed or disabled, and what each offers.

    Looks at this installation, whether or not a service runs; GET /plugins asks the running one.
    """
    from asyncmail.cli.discovery import discovered
    from asyncmail.config import load_settings

    with discovered(load_settings(config)) as manager:
        listing = manager.listing()
    if as_json:
        print_json([asdict(plugin) for plugin in listing])
        return
    print_table(
        ("PLUGIN", "PACKAGE", "VERSION", "STATUS", "OFFERS", "ERROR"),
        [
            (
                plugin.name,
                plugin.package,
                plugin.version,
                plugin.status,
                "; ".join(f"{kind}: {', '.join(names)}" for kind, names in plugin.kinds.items()),
                plugin.error,
            )
            for plugin in listing
        ],
    )
