"""``asyncmail keys``: the key file, and the passwords that it encrypts."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from asyncmail.cli.failures import FAILURE, say
from asyncmail.cli.options import config_option, json_option
from asyncmail.cli.output import print_json


@click.group("keys")
def command() -> None:
    """Make keys, and encrypt the stored passwords with the newest one."""


@command.command("generate")
@config_option
@json_option
def generate(config: Path | None, as_json: bool) -> None:
    """Put a new key first in the key file, or make the file.

    A running service takes it at its next start. Older keys stay: they open what they encrypted.
    """
    from asyncmail.config import load_settings
    from asyncmail.store.keys import add_key

    path = load_settings(config).storage.key_file
    ids = add_key(path)
    if as_json:
        print_json({"key_file": str(path), "keys": ids})
    else:
        click.echo(f"{path}: key {ids[0]} encrypts from the next start on; {len(ids)} in all")
        if len(ids) > 1:
            say("hint", "`asyncmail keys rotate` encrypts with it what is stored", "cyan")


@command.command("rotate")
@config_option
@json_option
@click.pass_context
def rotate(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """Encrypt every stored password with the first key of the key file.

    In one transaction, while the service is stopped. Ends with 1 if there are passwords that no key
    opens; they stay as they are.
    """
    from asyncmail.config import load_settings
    from asyncmail.store.keys import KeyRing
    from asyncmail.store.rotation import rotate as rotate_passwords

    storage = load_settings(config).storage
    keys = KeyRing.read(storage.key_file)
    done = rotate_passwords(storage.path, keys)
    if as_json:
        print_json({"key": keys.ids[0], **asdict(done)})
    else:
        click.echo(
            f"key {keys.ids[0]}: {done.renewed} passwords renewed, {done.kept} had it already"
        )
        if done.idle:
            say("hint", f"only old backups may need the lines {', '.join(done.idle)}", "cyan")
    for id in done.lost:
        say("error", f"account {id!r}: no key opens its password; register it again", "red")
    if done.lost:
        ctx.exit(FAILURE)
