"""Stored passwords and the keys at hand: which of them open, and all of them under the newest key.

For the command line, while no service has the database.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from asyncmail.errors import DatabaseUnusable
from asyncmail.store import migrations
from asyncmail.store.accounts import bond
from asyncmail.store.keys import KeyRing, key_id_of
from asyncmail.store.lockfile import LockFile
from asyncmail.store.migrations import APPLICATION_ID

_SEALED = "SELECT tenant_id, id, password FROM accounts WHERE password IS NOT NULL ORDER BY 1, 2"


@dataclass(frozen=True, slots=True)
class Rotation:
    """What became of the passwords. ``lost``: accounts whose password no key opens; left as they are.

    ``idle``: ids of keys that no password needs any more.
    """

    renewed: int
    kept: int
    lost: tuple[str, ...]
    idle: tuple[str, ...]


def rotate(path: Path, keys: KeyRing) -> Rotation:
    """Encrypt every password with the newest key, in one transaction.

    Before its commit all is as it was, and all keys stay in the file: a crash leaves every password
    readable. Raises ``DatabaseHeld`` while a service has the database, ``DatabaseUnusable``,
    ``SchemaTooNew``.
    """
    if not path.exists():
        raise DatabaseUnusable(f"database {path}: there is none", hint="see [storage] url")
    lock = LockFile(path)
    lock.acquire()
    try:
        with _opened(path) as connection:
            return _rotate(connection, keys)
    finally:
        lock.release()


def _rotate(connection: sqlite3.Connection, keys: KeyRing) -> Rotation:
    newest = keys.ids[0]
    renewed = kept = 0
    lost: list[str] = []
    needed = {newest}
    connection.execute("BEGIN IMMEDIATE")
    for tenant_id, id, sealed in connection.execute(_SEALED).fetchall():
        name = bond(tenant_id, id)
        password = keys.decrypt(sealed, bound_to=name)
        if password is None:
            lost.append(id)
            needed.add(key_id_of(sealed))
        elif key_id_of(sealed) == newest:
            kept += 1
        else:
            renewed += 1
            connection.execute(
                "UPDATE accounts SET password = ? WHERE tenant_id = ? AND id = ?",
                (keys.encrypt(password, bound_to=name), tenant_id, id),
            )
    connection.execute("COMMIT")
    return Rotation(renewed, kept, tuple(lost), tuple(id for id in keys.ids if id not in needed))


def lost_passwords(connection: sqlite3.Connection, keys: KeyRing) -> list[str]:
    """The ids of accounts whose password none of the keys opens."""
    return [
        id
        for tenant_id, id, sealed in connection.execute(_SEALED)
        if keys.decrypt(sealed, bound_to=bond(tenant_id, id)) is None
    ]


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    uri = f"file:{quote(os.fspath(path))}?mode=rw"
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise DatabaseUnusable(f"database {path}: this is a database of another program")
            migrations.check_readable(connection, path, migrations.known())
            connection.execute("PRAGMA synchronous = FULL")
            yield connection
    except sqlite3.Error as error:
        raise DatabaseUnusable(f"database {path}: {error}") from error
