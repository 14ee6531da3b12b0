"""The numbered steps by which a database becomes what this release reads and writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from asyncmail.errors import DatabaseUnusable, SchemaTooNew
from asyncmail.failpoints import failpoint

# "amq1", in the header of every database of ours: https://www.sqlite.org/fileformat.html, offset 68
APPLICATION_ID = 0x616D7131


@dataclass(frozen=True, slots=True)
class Migration:
    """One step. ``min_compatible``: the oldest schema version whose code may use the result."""

    version: int
    script: str
    min_compatible: int


def known() -> list[Migration]:
    """All steps of this release, in order."""
    return [Migration(1, _script("0001_the_queue.sql"), min_compatible=1)]


def migrate(connection: sqlite3.Connection, steps: Sequence[Migration]) -> int:
    """Apply the steps that are missing, each in one transaction; the version reached.

    ``connection`` is in autocommit mode. A step that fails leaves the database as it was before it.
    """
    version = version_of(connection)
    for step in steps:
        if step.version <= version:
            continue
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{step.script}")
            failpoint("migrate.mid")
            connection.executemany(
                "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)",
                [("version", step.version), ("min_compatible", step.min_compatible)],
            )
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        version = step.version
    return version


def version_of(connection: sqlite3.Connection) -> int:
    """The schema's version; 0 before the first step."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        return 0
    return int(meta(connection, "version"))


def meta(connection: sqlite3.Connection, name: str) -> str:
    """A value of the table ``meta``, as text. Raises ``DatabaseUnusable`` where it is missing."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise DatabaseUnusable(f"the database says nothing about its {name}")
    return str(row[0])


def check_readable(connection: sqlite3.Connection, path: Path, steps: Sequence[Migration]) -> None:
    """Raise ``SchemaTooNew`` if this release must not touch the database."""
    supported = steps[-1].version
    if int(meta(connection, "min_compatible")) > supported:
        raise SchemaTooNew(
            f"database {path} has schema version {meta(connection, 'version')}, "
            f"this release reads up to {supported}",
            hint="run the newer release, or restore the copy it made before upgrading",
        )


def _script(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text("utf-8")
