"""What would keep the service from starting, looked for without starting or changing anything."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from asyncmail.app import chosen_plugins, plugin_tables
from asyncmail.clock import SystemClock
from asyncmail.config import Settings, StorageSettings
from asyncmail.errors import AsyncmailError
from asyncmail.plugins.kinds import Kind
from asyncmail.plugins.manager import PluginManager
from asyncmail.store import migrations
from asyncmail.store.keys import KeyRing
from asyncmail.store.rotation import lost_passwords


def faults(settings: Settings, plugins: PluginManager) -> Iterator[str]:
    """Every fault in words: plugins, database, key file, address."""
    yield from dict.fromkeys(_of_plugins(settings, plugins))
    yield from _of_database(settings.storage.path)
    yield from _of_key_file(settings)
    yield from _of_address(settings.server.host, settings.server.port)


# --- plugins -------------------------------------------------------------------------------------

Chosen = Mapping[Kind, Sequence[str]]
Tables = Mapping[str, Mapping[str, Any]]


def _of_plugins(settings: Settings, plugins: PluginManager) -> Iterator[str]:
    """Names and tables that no plugin answers to; then each extension made in turn.

    ``build`` stops at its first fault, so it is asked for one thing at a time.
    """
    offered = {
        (kind, name)
        for plugin in plugins.listing()
        for kind, names in plugin.kinds.items()
        for name in names
    }
    answering = {name for _, name in offered}
    for table in settings.plugins.tables.keys() - answering:
        yield from _build(plugins, {}, {table: {}})
    tables = {n: table for n, table in plugin_tables(settings).items() if n in answering}
    found: dict[Kind, tuple[str, ...]] = {}
    for kind, names in chosen_plugins(settings).items():
        found[kind] = tuple(name for name in names if (kind, name) in offered)
        for name in names:
            if name not in found[kind]:
                yield from _build(plugins, {kind: (name,)}, {})
    transports = found.pop(Kind.TRANSPORT)
    for name in transports:
        others = tuple(other for other in transports if other != name)  # to hand over to
        yield from _build(plugins, {Kind.TRANSPORT: (name, *others)}, tables)
    for kind, names in found.items():
        for name in names:
            yield from _build(plugins, {kind: (name,)}, tables)


def _build(plugins: PluginManager, chosen: Chosen, tables: Tables) -> Iterator[str]:
    try:
        plugins.build(chosen, tables, SystemClock())
    except AsyncmailError as error:
        yield str(error)


# --- files ---------------------------------------------------------------------------------------


def _of_database(path: Path) -> Iterator[str]:
    """Opens it read-only, if there is one."""
    if not path.parent.is_dir():
        yield f"database {path}: there is no folder {path.parent}"
    elif path.exists():
        try:
            fault = _of_database_file(path)
        except (sqlite3.Error, OSError, AsyncmailError) as error:
            fault = str(error)
        if fault:
            yield f"database {path}: {fault}"
    elif path.with_name(f"{path.name}.lock").exists():
        yield f"database {path} is gone: {path.name}.lock says there was one"


def _of_database_file(path: Path) -> str | None:
    if path.stat().st_size == 0:
        return "the file is empty"
    with _looked_at(path) as connection:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application != migrations.APPLICATION_ID:
            return "this is a database of another program"
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            return str(verdict)
        migrations.check_readable(connection, path, migrations.known())
    return None


@contextmanager
def _looked_at(path: Path) -> Iterator[sqlite3.Connection]:
    """A database that nobody has open is read as it lies: a plain read-only connection would leave a WAL
    of this user's behind, which the service might not be able to write."""
    in_use = path.with_name(f"{path.name}-wal").exists()
    uri = f"{path.absolute().as_uri()}?mode=ro{'' if in_use else '&immutable=1'}"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        yield connection


def lost_logins(storage: StorageSettings) -> Iterator[str]:
    """Accounts that will not be able to log in; nothing of files that are faults themselves."""
    if not (storage.path.exists() and storage.key_file.exists()):
        return
    try:
        keys = KeyRing.read(storage.key_file)
        with _looked_at(storage.path) as connection:
            lost = lost_passwords(connection, keys)
    except (sqlite3.Error, OSError, AsyncmailError):
        return
    for id in lost:
        yield f"account {id!r}: no key of {storage.key_file} opens its password; register it again"


def _of_key_file(settings: Settings) -> Iterator[str]:
    path = settings.storage.key_file
    if path.exists():
        try:
            KeyRing.read(path)
        except AsyncmailError as error:
            yield str(error)
    elif settings.storage.path.exists():
        yield (
            f"key file {path} is missing, but database {settings.storage.path} is there: the passwords"
            " in it can be read with that key alone"
        )
    elif not path.parent.is_dir():
        yield f"key file {path}: there is no folder {path.parent}"


# --- network -------------------------------------------------------------------------------------


def _of_address(host: str, port: int) -> Iterator[str]:
    """Takes the address for a moment, as the service would."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        yield f"[server] cannot listen on {host}:{port}: {error.strerror or error}"
