"""``asyncmail config``: what the configuration amounts to."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from asyncmail.cli.options import config_option, json_option
from asyncmail.cli.output import print_json, print_table


@click.group("config")
def command() -> None:
    """Show the configuration and where each value comes from."""


@command.command("show")
@config_option
@json_option
def show(config: Path | None, as_json: bool) -> None:
    """Print every value with its origin; secrets are masked."""
    from asyncmail.config import load_settings, shown_settings

    rows = shown_settings(load_settings(config))
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        print_table(("KEY", "VALUE", "ORIGIN"), [(r.key, r.value, r.origin) for r in rows])
