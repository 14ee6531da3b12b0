"""``asyncmail plugins``: what is installed, a new one, and whether they keep their promises."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from asyncmail.cli.options import config_option, json_option
from asyncmail.cli.output import print_json, print_table
from asyncmail.cli.scaffold import KINDS


@click.group("plugins", invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def command(context: click.Context, config: Path | None, as_json: bool) -> None:
    """List the installed plugins: loaded, failed or disabled, and what each offers.

    Looks at this installation, whether or not a service runs; GET /plugins asks the running one.
    """
    if context.invoked_subcommand is not None:
        return
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


@command.command("new")
@click.argument("name")
@click.option("--kind", required=True, type=click.Choice(KINDS), help="What the plugin is to be.")
@click.option(
    "--path",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder to write the package into; else here.",
)
def new(name: str, kind: str, path: Path) -> None:
    """Write a package with a plugin that works, its README and its tests.

    NAME is what the configuration will call it. The package can be installed and tested as it stands.
    """
    from asyncmail.cli.scaffold import write

    folder = write(name, kind, path)
    click.echo(f"{folder} is a plugin; install it and run its tests:")
    click.echo(f"  cd {folder}")
    click.echo("  pip install -e . --group test")
    click.echo("  pytest")


@command.command("check")
@click.argument("name", required=False)
@config_option
@click.option(
    "--live",
    is_flag=True,
    help="Let messages, reports and events of the tests reach the real peer.",
)
@click.option("--to", metavar="ADDRESS", help="Where test messages go with --live.")
def check(name: str | None, config: Path | None, live: bool, to: str | None) -> None:
    """Run the conformance suite against an installed plugin, with the settings of the configuration.

    NAME is a plugin, its package, or what it offers; without it all that the configuration uses are
    checked. Needs the extra asyncmail[testing]. Ends with 1 if a promise is broken.
    """
    from asyncmail.cli.conformance import run_suites
    from asyncmail.cli.failures import FAILURE

    if not run_suites(name, config, live=live, to=to):
        raise click.exceptions.Exit(FAILURE)
