"""``asyncmail check``: everything that would keep the service from starting, at once."""

from __future__ import annotations

from pathlib import Path

import click

from asyncmail.cli.failures import FAILURE, warn
from asyncmail.cli.options import config_option, json_option
from asyncmail.cli.output import print_json
from asyncmail.errors import ConfigurationError


@click.command("check")
@config_option
@click.option("--insecure", is_flag=True, help="Allow a network address without any token.")
@json_option
def command(config: Path | None, insecure: bool, as_json: bool) -> None:
    """Look for everything that would keep the service from starting, and change nothing.

    Reads the configuration, makes every plugin, opens the database read-only, reads the key file and
    tries the address. Prints each fault on a line and ends with 1, or prints ok.
    """
    from asyncmail.cli.discovery import discovered
    from asyncmail.cli.faults import faults, lost_logins
    from asyncmail.config import InvalidSettings, load_settings, refuse_open_door, warnings

    found: list[str] = []
    try:
        settings = load_settings(config)
    except InvalidSettings as error:
        found += error.problems
        settings = error.settings
    try:
        refuse_open_door(settings, insecure=insecure)
    except ConfigurationError as error:
        found.append(str(error))
    doubts = list(warnings(settings))
    with discovered(settings) as plugins:
        found += faults(settings, plugins)
        doubts += [
            f"plugin '{p.name}' ({p.package} {p.version}) is not usable: {p.error}"
            for p in plugins.listing()
            if p.error
        ]
        doubts += lost_logins(settings.storage)
    if as_json:
        print_json({"ok": not found, "faults": found, "warnings": doubts})
    else:
        for words in doubts:
            warn(words)
        click.echo("\n".join(found) or "ok")
    if found:
        raise click.exceptions.Exit(FAILURE)
